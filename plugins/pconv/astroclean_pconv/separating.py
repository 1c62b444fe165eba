"""The sources of a frame, separated from what lies beneath them: who does what, and when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean_pconv.clumps import find_clumps
from astroclean_pconv.psf_image import psf_images
from astroclean_pconv.psf_tuning import Tuning, tuned
from astroclean_pconv.separation import Doubts, Sources, Stretch, solve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from astroclean.core.psf import Psf
    from astroclean_pconv.clumps import Clump
    from astroclean_pconv.filling import Filled, Surroundings

__all__ = ["Separated", "Separation"]

_SWEEPS = 4
"""Over the sources of a crowd that is too large to be solved at once."""
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
    """

    fill: Callable[[Surroundings, int | None], Filled]
    position_error: float
    limits: tuple[float, float]
    seed: int | None

    def of(
        self,
        around: Surroundings,
        positions: NDArray[np.float64],
        radii: NDArray[np.float64],
        psf: Psf,
    ) -> Separated:
        """Return what lies beneath the sources of a frame.

        First the holes are filled as if nothing were known of the sources. What their light is by
        then is taken away, and where little of it can be left the pixels count as surroundings: the
        network sees more of what it is to fill, and all is done once more, and again.

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
        count = len(positions)
        sources = Sources(
            positions,
            psf_images(psf, positions),
            np.zeros(count),
            np.full(count, np.nan),
            np.zeros((count, 4)),
        )
        filled = self.fill(around, None)
        clumps = find_clumps(filled, positions, radii)
        stretches = _stretches(clumps, filled, around)
        blind = Tuning()
        doubts = Doubts(self.position_error, blind.turn_error, blind.width_error, misfit=False)
        _solve_all(clumps, stretches, sources, doubts)
        tuning = tuned(clumps, stretches, sources, limits=self.limits)
        doubts = Doubts(self.position_error, tuning.turn_error, tuning.width_error, misfit=False)
        sources.psfs[:] = _changed(sources.psfs, tuning)
        sources.shape[:] = 0
        sources.flux[:] = 0
        _solve_all(clumps, stretches, sources, doubts)
        doubts = replace(doubts, misfit=True)
        for last in (False, True):
            light = _light(around, sources)
            core = _cores(around, filled, sources, psf.fwhm_pixels) & around.holes
            bare = replace(around, data=around.data - light, holes=core)
            seen = self.fill(bare, self.seed if last else None)
            clumps = find_clumps(seen, positions, radii)
            solutions = _solve_all(clumps, _stretches(clumps, seen, around), sources, doubts)
        metrics = {
            "psf turned": float(np.degrees(tuning.turn)),
            "psf widened": tuning.width,
            "psf sources": float(tuning.used),
        }
        errors = np.sqrt(sources.variance)
        beneath = np.asarray(around.data - _light(around, sources), dtype=np.float32)
        beneath[~around.usable] = np.nan
        doubt = _light(around, sources, np.nan_to_num(errors))
        measured = _measured(filled, seen, beneath, doubt)
        found = _put(measured, clumps, solutions)
        return Separated(found, beneath, sources.flux, errors, metrics)


def _cores(
    around: Surroundings, filled: Filled, sources: Sources, fwhm: float
) -> NDArray[np.bool_]:
    """Return the pixels in which the light of a source is too strong to be taken away blindly."""
    core = np.zeros(around.data.shape, dtype=bool)
    for index in range(len(sources.flux)):
        box = _box(around, sources, index)
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


def _measured(
    filled: Filled, seen: Filled, beneath: NDArray[np.float32], doubt: NDArray[np.float64]
) -> Filled:
    """Return the filling of all holes, with the frame less the light around their cores."""
    outside = filled.known & ~seen.known & np.isfinite(beneath)
    planes = {
        "background": np.where(outside, beneath, filled.background),
        "deviation": np.where(outside, doubt, filled.deviation).astype(np.float32),
        "noise": np.where(outside, 0, seen.noise).astype(np.float32),
        "noisy": np.where(outside, 1, 0).astype(np.float32),
    }
    return replace(filled, **planes)


def _changed(psfs: Sequence[Any], tuning: Tuning) -> list[Any]:
    """Return the PSFs as tuned; one that serves many sources is changed once."""
    made: dict[int, Any] = {}
    for psf in psfs:
        if id(psf) not in made:
            made[id(psf)] = psf.changed(turn=tuning.turn, width=tuning.width)
    return [made[id(psf)] for psf in psfs]


def _stretches(clumps: Sequence[Clump], filled: Filled, around: Surroundings) -> list[Stretch]:
    usable = np.isfinite(around.data) & around.usable
    data = np.where(usable, around.data, 0).astype(np.float64)
    return [Stretch.of(c, filled, data[c.rows, c.columns], usable) for c in clumps]


def _solve_all(
    clumps: Sequence[Clump], stretches: Sequence[Stretch], sources: Sources, doubts: Doubts
) -> list[Any]:
    """Solve all clumps; those that share a hole see each other's light taken away."""
    crowds = [index for index, clump in enumerate(clumps) if not clump.own.all()]
    solutions = [
        None if index in set(crowds) else solve(clump, stretch, sources, doubts)
        for index, (clump, stretch) in enumerate(zip(clumps, stretches, strict=True))
    ]
    neighbors = _neighbors(clumps, crowds)
    for _ in range(_SWEEPS if crowds else 0):
        for index in crowds:
            clump, stretch = clumps[index], stretches[index]
            foreign = np.zeros(len(clump.rows))
            for other in neighbors[index]:
                member = clumps[other].members[0]
                image = sources.image_of(member, clump.rows, clump.columns)
                foreign += sources.flux[member] * image
            alone = stretch._replace(data=stretch.data - foreign)
            solutions[index] = solve(clump, alone, sources, doubts)
    return solutions


def _neighbors(clumps: Sequence[Clump], crowds: Sequence[int]) -> dict[int, list[int]]:
    """Return for each clump of a crowd the others whose pixels are among its own."""
    holders: dict[tuple[int, int], list[int]] = {}
    for index in crowds:
        for place in zip(clumps[index].rows.tolist(), clumps[index].columns.tolist(), strict=True):
            holders.setdefault(place, []).append(index)
    found: dict[int, set[int]] = {index: set() for index in crowds}
    for together in holders.values():
        for index in together:
            found[index].update(together)
    return {index: sorted(others - {index}) for index, others in found.items()}


def _box(
    around: Surroundings, sources: Sources, index: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """Return rows and columns, (my, mx) each, of the pixels that a source reaches."""
    ny, nx = around.data.shape
    (x, y), reach = sources.positions[index], sources.psfs[index].reach
    rows = np.arange(max(round(y) - reach, 0), min(round(y) + reach + 1, ny))
    columns = np.arange(max(round(x) - reach, 0), min(round(x) + reach + 1, nx))
    if not (len(rows) and len(columns)):
        return None
    found: tuple[Any, Any] = np.meshgrid(rows, columns, indexing="ij")
    return found


def _light(
    around: Surroundings, sources: Sources, fluxes: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return the light of all sources, (ny, nx), with their fluxes or with others."""
    light = np.zeros(around.data.shape)
    for index, flux in enumerate(sources.flux if fluxes is None else fluxes):
        box = _box(around, sources, index)
        if flux and box is not None:
            light[box] += flux * sources.image_of(index, *box)
    return light


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
