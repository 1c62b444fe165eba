"""The sources of a frame, separated from what lies beneath them: who does what, and when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.psf.misfit import misfits_of
from astroclean_pconv.separate.clumps import Places
from astroclean_pconv.separate.equations import Doubts
from astroclean_pconv.separate.field import Field
from astroclean_pconv.separate.fitted import Sources
from astroclean_pconv.separate.psf_tuning import Tuning, tuned
from astroclean_pconv.separate.wings import beyond, first_fluxes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from astroclean.core.psf.misfit import Misfits
    from astroclean.core.psf.psf import Psf
    from astroclean_pconv.fill.filling import Filled, Surroundings
    from astroclean_pconv.separate.clumps import Clump

__all__ = ["Separated", "Separation"]

_CORE = 0.7
"""Radius of a core in FWHM; beyond, most of the light is gone."""
_UNSURE = 0.1
"""Part of a source's light that may be left where it is taken away."""
_FAINT = 0.3
"""Light in deviations of the filling that does no harm in the surroundings."""


@dataclass(frozen=True, eq=False)
class Separated:
    """Sources and what lies beneath."""

    filled: Filled
    """``background`` with the noise that was measured; ``noise`` what is drawn for the rest."""
    beneath: NDArray[np.float32]
    """(ny, nx): what the light of the sources stands on; the frame less their images."""
    flux: NDArray[np.float64]
    """(n,) in the unit of a pixel times pixels."""
    flux_error: NDArray[np.float64]
    metrics: dict[str, float]
    misfits: Misfits
    """What the PSF leaves under the sources."""


@dataclass(frozen=True)
class Separation:
    """Separates the sources of a frame.

    Parameters
    ----------
    fill : callable
        Fills holes: of `Surroundings` and the seed of the noise, or None for no noise.
    position_error : float
        Standard deviation of positions along an axis, pixels.
    limits : (float, float)
        Most turn of the PSF in radians, and most part by which its width may differ.
    seed : int or None
        Of the noise where a value is the filling's; None for no such noise.
    wings : bool
        Whether light beyond the holes is taken out too.
    """

    fill: Callable[[Surroundings, int | None], Filled]
    position_error: float
    limits: tuple[float, float]
    seed: int | None
    wings: bool = True

    def of(
        self,
        around: Surroundings,
        positions: NDArray[np.float64],
        radii: NDArray[np.float64],
        psf: Psf,
    ) -> Separated:
        """Return what lies beneath the sources of a frame.

        First the holes are filled as in `inpaint`. What the light of the sources is by then is
        taken away, and where little of it can be left the pixels count as surroundings: the network
        sees more of what it is to fill, and all is done once more.

        Parameters
        ----------
        around : Surroundings
            The frame. Not modified.
        positions : (n, 2) float64
            x, y, pixels.
        radii : (n,) float64
            Of the holes, pixels.
        psf : Psf
            As told.
        """
        sources = Sources.from_positions(positions, psf.images_at(positions))
        sources.flux[:] = first_fluxes(around, sources, radii)
        places = Places(positions, radii, psf.fwhm_pixels, psf.is_known_between_pixels)
        field = Field(around, sources, places)
        field.update()
        filled = self.fill(replace(around, data=field.left), None)
        field.divide(filled, around.holes)
        tuning = tuned(field, limits=self.limits)
        if tuning.changes:
            sources.psfs[:] = _changed(sources.psfs, tuning)
            field.update()
        doubts = Doubts(self.position_error, tuning.turn_error, tuning.width_error, misfit=False)
        field.measure(doubts)
        doubts = replace(doubts, misfit=any(self.limits))
        core = _cores(around, filled, sources, psf.fwhm_pixels) & around.holes
        seen = self.fill(replace(around, data=field.left, holes=core), self.seed)
        field.divide(seen, core)
        solutions = field.solve(doubts)
        metrics = {
            "psf turned": float(np.degrees(tuning.turn)),
            "psf widened": tuning.width,
            "psf sources": float(tuning.used),
        }
        misfits = _misfits(field, around, psf)
        metrics |= misfits.metrics
        errors = np.hypot(np.sqrt(sources.variance), misfits.flux_part * np.abs(sources.flux))
        beneath = np.where(around.usable, field.left, np.nan).astype(np.float32)
        doubt = sources.light(around.data.shape, np.nan_to_num(errors))
        bare = filled.known & ~seen.known
        if self.wings:
            bare |= beyond(filled, field.taken)
        bare &= np.isfinite(beneath)
        measured = replace(filled, noise=seen.noise)
        measured.put_measured(bare, beneath, doubt)
        found = _put(measured, field.clumps, solutions)
        if misfits.wrong:
            wrong = misfits.flux_part * np.abs(field.taken).astype(np.float32)
            found = replace(found, deviation=np.hypot(found.deviation, wrong))
        return Separated(found, beneath, sources.flux, errors, metrics, misfits)


def _misfits(field: Field, around: Surroundings, psf: Psf) -> Misfits:
    """Return what the PSF leaves under the sources, as they are by now."""
    sources = field.sources
    return misfits_of(
        field.left,
        around.usable & np.isfinite(around.data),
        fwhm=psf.fwhm_pixels,
        positions=sources.positions,
        light=lambda i, rows, columns: sources.flux[i] * sources.image_of(i, rows, columns),
        fluxes=sources.flux,
    )


def _cores(
    around: Surroundings, filled: Filled, sources: Sources, fwhm: float
) -> NDArray[np.bool_]:
    """Return the pixels in which the light of a source is too strong to be taken away blindly."""
    core = np.zeros(around.data.shape, dtype=bool)
    for index in range(len(sources.flux)):
        box = sources.box_of(index, around.data.shape)
        if box is None:
            continue
        rows, columns = box
        image = sources.image_of(index, rows, columns)
        x, y = sources.positions[index] + sources.shape[index, :2]
        near = np.hypot(rows - y, columns - x) <= _CORE * fwhm
        unsure = max(_UNSURE * abs(sources.flux[index]), np.sqrt(sources.variance[index]))
        limit = _FAINT * filled.deviation[rows, columns]
        core[rows, columns] |= near | (np.abs(unsure * image) > limit)
    return core


def _changed(psfs: Sequence[Any], tuning: Tuning) -> list[Any]:
    """Return the PSFs as tuned; one that serves many sources is changed once."""
    made: dict[int, Any] = {}
    for psf in psfs:
        if id(psf) not in made:
            made[id(psf)] = psf.changed(turn=tuning.turn, width=tuning.width)
    return [made[id(psf)] for psf in psfs]


def _put(filled: Filled, clumps: Sequence[Clump], solutions: Sequence[Any]) -> Filled:
    """Return the filling with the pixels of the clumps replaced by what was found there."""
    background, deviation = filled.background.copy(), filled.deviation.copy()
    noise, noisy = filled.noise.copy(), filled.noisy.copy()
    for clump, solution in zip(clumps, solutions, strict=True):
        rows, columns = clump.rows[clump.own], clump.columns[clump.own]
        background[rows, columns] = solution.values[clump.own]
        deviation[rows, columns] = solution.deviation[clump.own]
        lost = solution.noise_lost[clump.own]
        noise[rows, columns] *= lost
        noisy[rows, columns] = np.sqrt(1 - lost**2)
    return replace(filled, background=background, deviation=deviation, noise=noise, noisy=noisy)
