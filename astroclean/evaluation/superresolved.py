"""What a super-resolver made of one field of several bands, beside its one truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.evaluation.columns import Columns
from astroclean.evaluation.metrics.counts import match_brightest
from astroclean.evaluation.metrics.maps import MapSums, Stack, map_sums, stacked
from astroclean.evaluation.metrics.superres import aperture_sums
from astroclean.evaluation.superres_fields import (
    LEAST_PARTNER,
    Catalogue,
    Field,
    catalogue_beside,
    field_beside,
    true_sources,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from astroclean.evaluation.evaluation import Trial
    from astroclean.simulate.scene import Scene

    Values = NDArray[np.float64]

__all__ = ["LEAST_PARTNER", "RADII", "Entries", "Superresolved", "Truths", "superresolved"]

RADII = (12.0, 5.0)
"""Farthest matches, arcsec; the first is that of all figures that name none."""
_SHIFT = 60.0 * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
"""Arcsec by which a catalogue is moved to see what chance matches."""
_SUMMED, _STACKED = 9.0, 15.0
"""mJy from which the light around a source is summed up, and from which it is stacked."""
_ALONE, _FAINT = 15.0, 0.2
"""Arcsec within which a source that is stacked has no other of this share of its flux."""
_REACH = 24.0
"""Arcsec, of a cut-out."""


@dataclass(frozen=True, eq=False)
class Truths(Columns):
    """True sources of `LEAST_PARTNER` and more; r radii, d directions of a shift."""

    flux: Values
    """(n,) mJy."""
    measured: Values
    """(n, r) flux of the entry that is matched, in the unit of the catalogue; NaN without one."""
    error: Values
    """(n, r) its stated standard deviation; NaN without one."""
    found: NDArray[np.bool_]
    """(n, r) whether one is matched."""
    offset: Values
    """(n, r) arcsec to it; NaN without one."""
    chance: Values
    """(n, r) share of shifted catalogues that have an entry for it; NaN where none is judged."""


@dataclass(frozen=True, eq=False)
class Entries(Columns):
    """Entries of a catalogue; r radii, d directions of a shift."""

    flux: Values
    """(n,) in the unit of the catalogue."""
    error: Values
    """(n,) its stated standard deviation; NaN where none is told."""
    partner: Values
    """(n, r) flux of the true source that is matched, mJy; 0 without one."""
    chance: Values
    """(n, r, d) the same after a shift; NaN where that is not judged."""
    complete: Values
    """(n,) completeness that the catalogue tells; NaN where it tells none."""
    reliable: Values
    """(n,) its reliability, likewise."""


@dataclass(frozen=True, eq=False)
class Superresolved:
    """What is kept of one field, or of several."""

    truths: Truths
    entries: Entries
    sums: MapSums
    stack: Stack
    light: tuple[float, float]
    """Of result and truth in circles around bright sources, above the mean of the field, mJy."""
    pixel: float
    """Side of a pixel of the truth, arcsec."""
    stated: float
    """FWHM of the result by its PSF, arcsec."""
    one_band: bool
    """Whether the plugin saw one band alone, so that its fluxes are of another kind."""

    def pooled(self, other: Superresolved) -> Superresolved:
        """Return what was measured on the fields of both."""
        return Superresolved(
            Truths.joined([self.truths, other.truths]),
            Entries.joined([self.entries, other.entries]),
            self.sums + other.sums,
            self.stack + other.stack,
            (self.light[0] + other.light[0], self.light[1] + other.light[1]),
            self.pixel,
            self.stated,
            self.one_band,
        )


def superresolved(scene: Scene, trials: Mapping[str, Trial]) -> Superresolved:
    """Match the catalogue of a result with the true one, and compare the maps.

    Parameters
    ----------
    scene : Scene
        Of several bands, with ``fine`` and ``sources`` of the whole.
    trials : mapping of str to Trial
        Of the bands that the plugin was given, the first first: its result is the one.

    Returns
    -------
    Superresolved
        With true sources and entries away from borders.

    Raises
    ------
    ConfigurationError
        The scene does not tell the size of its pixels, or has no true sources.
    ContractError
        Unit of the fluxes, or grid and WCS of the result, are not what they must be.
    """
    trial = next(iter(trials.values()))
    layer = trial.result.layers[str(trial.stage.branch)]
    field, one_band = field_beside(scene, trial, layer), "set" not in trial.stage.accepts
    true, flux = true_sources(scene, field)
    found = catalogue_beside(trial, layer, field, one_band=one_band)
    truths, entries = _matched(field, found, true, flux)
    assert trial.frame.psf is not None  # the field has asked
    bright = true[(flux >= _SUMMED) & field.holds(true)] / field.pixel
    return Superresolved(
        truths,
        entries,
        map_sums(field.image, field.truth, field.judged),
        _stack(field, found, true, flux),
        _light(field, bright, radius=trial.frame.psf.fwhm_pixels / field.grid.step),
        field.pixel,
        np.nan if layer.psf is None else layer.psf.fwhm_pixels * field.size_of(layer),
        one_band,
    )


def _matched(field: Field, found: Catalogue, true: Values, flux: Values) -> tuple[Truths, Entries]:
    """Match the catalogue as it is, and shifted: what is matched then is by chance."""
    size = len(true), len(RADII)
    measured, error, offset = (np.full(size, np.nan) for _ in range(3))
    recovered = np.zeros(size, dtype=bool)
    partner = np.zeros((len(found.places), len(RADII)))
    for index, radius in enumerate(RADII):
        mine, theirs = match_brightest(found.places, true, flux, radius=radius)
        partner[mine, index], recovered[theirs, index] = flux[theirs], True
        measured[theirs, index], error[theirs, index] = found.flux[mine], found.error[mine]
        offset[theirs, index] = np.hypot(*(found.places[mine] - true[theirs]).T)
    hit, chance = _by_chance(field, found.places, true, flux)
    truths = Truths(flux, measured, error, recovered, offset, _mean(hit))
    entries = Entries(found.flux, found.error, partner, chance, found.complete, found.reliable)
    return truths.where(field.holds(true)), entries.where(field.holds(found.places))


def _by_chance(field: Field, places: Values, true: Values, flux: Values) -> tuple[Values, Values]:
    """Return whether each true source is matched, and with what flux each entry, after a shift.

    NaN where the place, or that from which the shifted entries come, is not judged.
    """
    hit = np.full((len(true), len(RADII), len(_SHIFT)), np.nan)
    chance = np.full((len(places), len(RADII), len(_SHIFT)), np.nan)
    for way, shift in enumerate(_SHIFT):
        sources, entries = field.holds(true - shift), field.holds(places + shift)
        for index, radius in enumerate(RADII):
            mine, theirs = match_brightest(places + shift, true, flux, radius=radius)
            matched, partner = np.zeros(len(true)), np.zeros(len(places))
            matched[theirs], partner[mine] = 1.0, flux[theirs]
            hit[:, index, way] = np.where(sources, matched, np.nan)
            chance[:, index, way] = np.where(entries, partner, np.nan)
    return hit, chance


def _mean(values: Values) -> Values:
    """Return the mean of the finite values along the last axis; NaN without any."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0.0).sum(axis=-1) / known.sum(axis=-1))


def _stack(field: Field, found: Catalogue, true: Values, flux: Values) -> Stack:
    """Return the bright isolated true sources that were found, as the result shows them."""
    from scipy.spatial import cKDTree  # noqa: PLC0415 - slow to import

    mine, theirs = match_brightest(found.places, true, flux, radius=RADII[-1])
    bright = (flux[theirs] >= _STACKED) & field.holds(true[theirs])
    mine, theirs = mine[bright], theirs[bright]
    alone = np.zeros(len(theirs), dtype=bool)
    if len(theirs):
        around = cKDTree(true).query_ball_point(true[theirs], _ALONE)
        for row, (source, near) in enumerate(zip(theirs, around, strict=True)):
            others = flux[[i for i in near if i != source]]
            alone[row] = np.all(others < _FAINT * flux[source])
    places = found.places[mine[alone]] / field.pixel
    return stacked(field.image, places, reach=round(_REACH / field.pixel))


def _light(field: Field, bright: Values, *, radius: float) -> tuple[float, float]:
    """Return the light of result and truth in circles around sources, mJy."""
    sums = []
    for image, beam in zip((field.image, field.truth), field.beams, strict=True):
        known = image[field.judged & np.isfinite(image)]
        level = float(known.mean()) if known.size else 0.0
        sums.append(aperture_sums(image - level, bright, radius=radius) * field.pixel**2 / beam)
    both = np.isfinite(sums[0]) & np.isfinite(sums[1])
    return float(sums[0][both].sum()), float(sums[1][both].sum())
