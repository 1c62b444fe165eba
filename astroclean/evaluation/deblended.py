"""What a deblender made of one frame: how each true source fared, and each entry it gave."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.image.arrays import add_box
from astroclean.core.image.grid import Grid
from astroclean.core.sources.blendedness import blendedness
from astroclean.core.sources.shares import model_image
from astroclean.core.sources.sources import SourceStamp
from astroclean.errors import ConfigurationError
from astroclean.evaluation.columns import Columns
from astroclean.evaluation.light import light_of, own_and_total, source_snr
from astroclean.evaluation.matching import (
    WANTED_SNR,
    match_catalogue,
    plain,
    positions,
    total_flux,
    total_flux_error,
)
from astroclean.evaluation.metrics.crowding import (
    Catalogues,
    duplicate_pairs,
    unrecognized_blends,
)
from astroclean.evaluation.metrics.deblend import (
    Detections,
    magnitude_errors,
    soft_iou,
)
from astroclean.evaluation.metrics.models import Chi2, cosine, lit_chi2, profile_difference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean.core.sources.sources import Sources
    from astroclean.evaluation.evaluation import Trial
    from astroclean.simulate.scene import Scene

__all__ = ["Deblended", "Entries", "Fates", "compared"]

_LEAST_RADIUS = 1.5
_BLEND_PROBABILITY = "blend_probability"
"""Column of a catalogue: probability that an entry is several sources."""


@dataclass(frozen=True, eq=False)
class Fates(Columns):
    """Of true sources: what they are, and how each fared; NaN where that is not known."""

    snr: NDArray[np.float64]
    """Of the best fit of its own image in the noise of the frame."""
    blend: NDArray[np.float64]
    found: NDArray[np.bool_]
    ratio: NDArray[np.float64]
    """Flux over true flux."""
    pull: NDArray[np.float64]
    """Flux less true flux, over the error that the catalogue tells."""
    iou: NDArray[np.float64]
    """Of those that were found: overlap of the model with the true light."""
    cosine: NDArray[np.float64]
    profile: NDArray[np.float64]
    """Largest difference of the cumulative profiles."""
    color: NDArray[np.float64]
    """Error of the color, first band less last, magnitudes; NaN with one band."""

    @property
    def error(self) -> NDArray[np.float64]:
        """``-2.5 log10(flux / true flux)``; NaN where the flux is not positive."""
        return magnitude_errors(self.ratio, 1.0)


@dataclass(frozen=True, eq=False)
class Entries(Columns):
    """Of the entries of a catalogue."""

    genuine: NDArray[np.bool_]
    """Whether it is a true source."""
    snr: NDArray[np.float64]
    """Its flux over the noise of a point source's best fit."""
    blended: NDArray[np.bool_]
    """Whether it stands for more than one source that should be found."""
    stated: NDArray[np.float64]
    """Probability of that, of the catalogue; NaN where it tells none."""


@dataclass(frozen=True, eq=False)
class Deblended:
    """What is kept of one frame."""

    ids: tuple[int, ...]
    """Of all true sources, those that are not wanted among them."""
    fates: Fates
    entries: Entries
    chi2: Chi2
    """Where the true light is above the noise; without pixels where there are no models."""
    unshared: float
    """Largest difference between the frame and all shares with what is unassigned, over the noise;
    NaN where the plugin shares nothing out."""
    duplicates: int
    """Pairs of entries that are one source."""
    injected: bool

    @property
    def counts(self) -> Detections:
        """Wanted sources, entries of the catalogue, and what is right of both."""
        found, genuine = self.fates.found, self.entries.genuine
        return Detections(found.size, int(found.sum()), genuine.size, int(genuine.sum()))

    def wanted(self) -> Deblended:
        """Keep the true sources that should be found."""
        return replace(self, fates=self.fates.where(self.fates.snr >= WANTED_SNR))


def compared(trial: Trial) -> Deblended:
    """Match the catalogue of a trial with the truth, and measure both.

    Parameters
    ----------
    trial : Trial
        Of one band.

    Returns
    -------
    Deblended
        With every true source, wanted or not.

    Raises
    ------
    ConfigurationError
        The scene has no true sources.
    """
    scene, true = trial.scene, trial.scene.sources
    if true is None:
        raise ConfigurationError(
            f"{scene.frame.frame_id}: the scene has no true sources to compare with"
        )
    found = trial.result.frame.sources
    assert found is not None  # a deblender always gives sources
    flux, radius = total_flux(found, trial.band), _radius(scene)
    places = positions(found, Grid.from_frame(scene.frame))
    matching = match_catalogue(places, flux, true, radius=radius)
    sigma, ids = scene.frame.noise("scatter"), [int(i) for i in true.table["id"]]
    told = source_snr(true, sigma)
    snr = np.array([told.get(i, np.inf) for i in ids], dtype=float)
    ratio, pull = _fluxes(trial, matching.pairs)
    images = _images(trial, found)
    iou, cosines, profiles = _shapes(true, found, images, matching.pairs)
    blend, color = _blendedness(scene, ids), np.full(len(ids), np.nan)
    recovered = matching.recovered
    fates = Fates(snr, blend, recovered, ratio, pull, iou, cosines, profiles, color)
    catalogues = Catalogues(places, positions(true), matching.pairs, radius)
    blended = unrecognized_blends(catalogues, snr >= WANTED_SNR)
    stated = np.full(len(found), np.nan)
    if _BLEND_PROBABILITY in found.table.colnames:
        stated = plain(found.table[_BLEND_PROBABILITY])
    entries = Entries(matching.genuine, _point_snr(scene, flux, sigma), blended, stated)
    duplicates = len(duplicate_pairs(catalogues, apart=_half_width(scene)))
    kept = _chi2(trial, found, sigma), _unshared(trial, found, sigma)
    return Deblended(tuple(ids), fates, entries, *kept, duplicates, "injected" in scene.notes)


def _half_width(scene: Scene) -> float:
    psf = scene.frame.psf
    return _LEAST_RADIUS if psf is None else psf.fwhm_pixels / 2


def _radius(scene: Scene) -> float:
    return max(_half_width(scene), _LEAST_RADIUS)


def _fluxes(
    trial: Trial, pairs: tuple[NDArray[np.intp], NDArray[np.intp]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return flux over true flux, and pull, of each true source."""
    true, found = trial.scene.sources, trial.result.frame.sources
    assert true is not None
    assert found is not None
    ratio, pull = (np.full(len(true), np.nan) for _ in range(2))
    mine, other = pairs
    if "flux" in true.table.colnames:
        flux, error = (of(found, trial.band)[mine] for of in (total_flux, total_flux_error))
        truth = plain(true.table["flux"])[other]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio[other] = np.where(truth > 0, flux / truth, np.nan)
            pull[other] = np.where(error > 0, (flux - truth) / error, np.nan)
    return ratio, pull


def _point_snr(
    scene: Scene, flux: NDArray[np.float64], sigma: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return fluxes over the noise of a point source's best fit; NaN without a PSF."""
    if scene.frame.psf is None:
        return np.full(len(flux), np.nan)
    pixels = 1 / float(np.sum(scene.frame.psf.stamps[0] ** 2))
    noise = float(np.median(sigma)) * math.sqrt(pixels)
    return flux / noise


def _blendedness(scene: Scene, ids: Sequence[int]) -> NDArray[np.float64]:
    light = light_of(scene)
    assert scene.sources is not None
    if light is None or not scene.sources.stamps:
        return np.full(len(ids), np.nan)
    blend = {
        int(stamp.id): blendedness(*own_and_total(stamp, light)) for stamp in scene.sources.stamps
    }
    return np.array([blend.get(i, np.nan) for i in ids])


def _shapes(
    true: Sources,
    found: Sources,
    images: dict[int, SourceStamp] | None,
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]],
) -> NDArray[np.float64]:
    """Return soft IoU, cosine and difference of profiles of each true source; NaN if not found."""
    measured, theirs = np.full((3, len(true)), np.nan), true.images()
    if not theirs or images is None:
        return measured
    measured[0, pairs[1]] = 0.0  # of a source that was found without an image of its own
    places = positions(true)
    for mine, other in zip(*pairs, strict=True):
        image = images.get(int(found.table["id"][mine]))
        stamp = theirs.get(int(true.table["id"][other]))
        if image is not None and stamp is not None:
            one, two, origin = _on_one_grid(image, stamp)
            x, y = places[other]
            profile = profile_difference(one, two, (y - origin[0], x - origin[1]))
            measured[:, other] = soft_iou(one, two), cosine(one, two), profile
    return measured


def _images(trial: Trial, found: Sources) -> dict[int, SourceStamp] | None:
    if found.stamps or found.segmentation is None:
        return found.images(trial.band if trial.band in found.bands else None) or None
    from scipy.ndimage import find_objects  # noqa: PLC0415 - slow to import

    level = trial.result.products.get("BACKGROUND")
    if level is None:
        level = float(np.nanmedian(trial.frame.data))
    light = np.nan_to_num(trial.frame.data - level)
    images = {}
    for label, box in enumerate(find_objects(found.segmentation), start=1):
        if box is not None:
            part = np.where(found.segmentation[box] == label, light[box], 0).astype(np.float32)
            images[label] = SourceStamp(label, (box[0].start, box[1].start), part)
    return images


def _chi2(trial: Trial, found: Sources, sigma: NDArray[np.float64]) -> Chi2:
    """Return what the models leave of lit pixels; nothing where a plugin gives no models.

    The background is the plugin's, else that of the scene, else none. That of a real frame to which
    sources were added is not known.
    """
    scene, light = trial.scene, light_of(trial.scene)
    level: Any = trial.result.products.get("BACKGROUND")
    if light is None or not found.stamps or (level is None and "injected" in scene.notes):
        return Chi2()
    if level is None:
        level = 0.0 if scene.background is None else scene.background
    models = model_image(found, light.shape, trial.band if trial.band in found.bands else None)
    residual = np.asarray(trial.frame.data - level - models, dtype=np.float64)
    return lit_chi2(residual, light, sigma, trial.frame.usable)


def _unshared(trial: Trial, found: Sources, sigma: NDArray[np.float64]) -> float:
    rest = trial.result.products.get("UNASSIGNED")
    stamps = found.images(trial.band if trial.band in found.bands else None).values()
    shares = [(stamp.share, stamp.origin) for stamp in stamps if stamp.share is not None]
    if rest is None or not shares or len(shares) < len(stamps):
        return float("nan")
    total = np.asarray(rest, dtype=np.float64).copy()
    for share, origin in shares:
        add_box(total, share, origin)
    away = np.abs(total - trial.frame.data)[trial.frame.usable] / sigma[trial.frame.usable]
    return float(away.max()) if away.size else float("nan")


def _on_one_grid(
    first: SourceStamp, second: SourceStamp
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, int]]:
    """Return both stamps on the smallest box that holds both, and (y, x) of its first pixel."""
    y0, x0 = (min(a, b) for a, b in zip(first.origin, second.origin, strict=True))
    y1, x1 = (max(a, b) for a, b in zip(_end(first), _end(second), strict=True))
    planes = []
    for stamp in (first, second):
        plane = np.zeros((y1 - y0, x1 - x0))
        add_box(plane, stamp.data, (stamp.origin[0] - y0, stamp.origin[1] - x0))
        planes.append(plane)
    return planes[0], planes[1], (y0, x0)


def _end(stamp: SourceStamp) -> tuple[int, int]:
    return stamp.origin[0] + stamp.data.shape[0], stamp.origin[1] + stamp.data.shape[1]
