"""Holes whose filling, errors and noise are drawn from the model that separates sources."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from astroclean_pconv.clumps import find_clumps
from astroclean_pconv.filling import Filled
from astroclean_pconv.psf_image import PsfImage
from astroclean_pconv.separation import Doubts, Sources, Stretch, solve

from astroclean.core.holes import disks
from astroclean.simulate.psfs import make_psf

if TYPE_CHECKING:
    from astroclean_pconv.clumps import Clump
    from astroclean_pconv.separation import Solution

SHAPE = (60, 70)
FWHM = 3.2
TOLD = {"deviation": 0.3, "sigma": 0.1, "correlation": 0.3}
PSF = PsfImage(make_psf("pacs", fwhm_pixels=FWHM).psf.stamps[0])
CERTAIN = Doubts(place=1e-4, turn=1e-4, width=1e-4, misfit=False)


@dataclass(frozen=True, eq=False)
class World:
    """Holes of sources of known flux."""

    positions: np.ndarray
    fluxes: np.ndarray
    filled: Filled
    clumps: list[Clump]
    usable: np.ndarray
    radii: np.ndarray

    @functools.cached_property
    def stretches(self) -> list[Stretch]:
        """The model of each clump, without data."""
        return [
            Stretch.of(clump, self.filled, np.zeros(len(clump.rows)), self.usable)
            for clump in self.clumps
        ]

    @functools.cached_property
    def _roots(self) -> list[np.ndarray]:
        return [np.linalg.cholesky(stretch.prior) for stretch in self.stretches]

    @functools.cached_property
    def _light(self) -> np.ndarray:
        return light(self.positions, self.fluxes)

    def drawn(self, seed: int) -> Draw:
        """Draw what is beneath as the model says that it is distributed; sources come on top."""
        rng = np.random.default_rng(seed)
        truth = np.zeros(SHAPE)
        for clump, stretch, root in zip(self.clumps, self.stretches, self._roots, strict=True):
            errors = root @ rng.standard_normal(len(root))
            truth[clump.rows, clump.columns] = stretch.mean + errors
        return Draw(truth, np.where(self.usable, truth + self._light, 1e6))

    def solved(
        self, data: np.ndarray, *, doubts: Doubts = CERTAIN, positions: np.ndarray | None = None
    ) -> tuple[Sources, list[Solution]]:
        """Separate the sources, at their true positions or at others."""
        sources = told(self.positions if positions is None else positions)
        stretches = [
            stretch._replace(data=data[clump.rows, clump.columns])
            for clump, stretch in zip(self.clumps, self.stretches, strict=True)
        ]
        pairs = zip(self.clumps, stretches, strict=True)
        return sources, [solve(clump, stretch, sources, doubts) for clump, stretch in pairs]


class Draw(NamedTuple):
    """What lies in the holes of a world, each (ny, nx)."""

    truth: np.ndarray
    """Beneath, with its noise."""
    data: np.ndarray


def filling(holes: np.ndarray, *, deviation: float, sigma: float, correlation: float) -> Filled:
    """A filling with a slope, NaN outside the holes."""
    y, x = np.indices(holes.shape)
    planes = (10 + 0.1 * x - 0.05 * y, deviation, sigma, correlation, 0.0, 0.0)
    return Filled(*(np.where(holes, plane, np.nan).astype(np.float32) for plane in planes))


def light(positions: np.ndarray, fluxes: Any, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Images of sources."""
    y, x = np.indices(shape).astype(float)
    total = np.zeros(shape)
    for (cx, cy), flux in zip(positions, fluxes, strict=True):
        total += flux * PSF.at(y - cy, x - cx)
    return total


def world_of(
    positions: np.ndarray,
    fluxes: Any,
    *,
    radius: float = 6.0,
    bad: tuple[tuple[int, int], ...] = (),
    **told: float,
) -> World:
    """Make a world; ``told`` is deviation, sigma and correlation of the filling."""
    radii = np.full(len(positions), radius)
    filled = filling(disks(SHAPE, positions, radii), **{**TOLD, **told})
    usable = np.ones(SHAPE, dtype=bool)
    for place in bad:
        usable[place] = False
    clumps = find_clumps(filled, positions, radii)
    return World(positions, np.array(fluxes, dtype=float), filled, clumps, usable, radii)


def told(positions: np.ndarray) -> Sources:
    """Sources of which nothing is solved yet."""
    count = len(positions)
    return Sources(
        np.array(positions, dtype=float),
        [PSF] * count,
        np.zeros(count),
        np.full(count, np.nan),
        np.zeros((count, 4)),
    )
