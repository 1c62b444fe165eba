"""Holes whose filling, errors and noise are drawn from the model that separates sources."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from astroclean_pconv.fill.filling import Filled
from astroclean_pconv.separate.clumps import Places, find_clumps
from astroclean_pconv.separate.equations import Doubts, Pixels, solve
from astroclean_pconv.separate.fitted import Sources
from astroclean_pconv.separate.stretches import Stretch

from astroclean.core.psf.draw import PsfImage
from astroclean.core.sources.holes import disks
from astroclean.simulate.psfs import make_psf

if TYPE_CHECKING:
    from astroclean_pconv.separate.clumps import Clump
    from astroclean_pconv.separate.equations import Solution

SHAPE = (60, 70)
FWHM = 3.2
LEVEL = 10.0
STRENGTH = 0.8
TOLD = {"deviation": 0.3, "sigma": 0.1, "correlation": 0.3}
PSF = PsfImage(make_psf("pacs", fwhm_pixels=FWHM).psf.fine[0])
CERTAIN = Doubts(place=1e-4, turn=1e-4, width=1e-4, misfit=False)


@dataclass(frozen=True, eq=False)
class World:
    """Holes of sources of known flux."""

    positions: np.ndarray
    fluxes: np.ndarray
    filled: Filled
    """What is told of the filling; each draw has a background of its own."""
    clumps: list[Clump]
    usable: np.ndarray
    radii: np.ndarray

    @functools.cached_property
    def _roots(self) -> list[tuple[np.ndarray, ...]]:
        """What makes emission, noise and errors of the answers of white noise."""
        found = []
        for clump in self.clumps:
            stretch = self.stretch(clump, self.filled)
            whole = replace(stretch, strength=STRENGTH)
            least = 1e-9 * np.eye(len(clump.rows))
            emission = np.linalg.cholesky(whole.beneath - whole.noise + least)
            errors = np.linalg.cholesky(stretch.doubt)
            found.append((emission, np.linalg.cholesky(whole.noise + least), errors))
        return found

    @functools.cached_property
    def _light(self) -> np.ndarray:
        return light(self.positions, self.fluxes)

    def stretch(self, clump: Clump, filled: Filled) -> Stretch:
        """What is expected of a clump, but for the strength of the emission."""
        return Stretch.of(clump, filled, self.usable, fwhm=FWHM)

    def drawn(self, seed: int) -> Draw:
        """Draw what is beneath as the model says that it is distributed; sources come on top."""
        rng = np.random.default_rng(seed)
        truth = np.full(SHAPE, LEVEL)
        background = self.filled.background.copy()
        for clump, roots in zip(self.clumps, self._roots, strict=True):
            told = self.stretch(clump, self.filled).told
            emission, noise, errors = (root @ rng.standard_normal(len(root)) for root in roots)
            truth[clump.rows, clump.columns] += emission + noise
            background[clump.rows[told], clump.columns[told]] = LEVEL + emission[told] + errors
        data = np.where(self.usable, truth + self._light, 1e6)
        return Draw(truth, data, replace(self.filled, background=background))

    def solved(
        self, draw: Draw, *, doubts: Doubts = CERTAIN, positions: np.ndarray | None = None
    ) -> tuple[Sources, list[Solution]]:
        """Separate the sources, at their true positions or at others."""
        sources = told(self.positions if positions is None else positions)
        everything = [
            Pixels(c, self.stretch(c, draw.filled), draw.data[c.rows, c.columns].astype(float))
            for c in self.clumps
        ]
        return sources, [solve(pixels, sources, doubts) for pixels in everything]


class Draw(NamedTuple):
    """What lies in the holes of a world, each (ny, nx)."""

    truth: np.ndarray
    """Beneath, with its noise."""
    data: np.ndarray
    filled: Filled
    """What the network says of it."""


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
    seen = usable & ~disks(SHAPE, positions, radii)
    clumps = find_clumps(filled, Places(np.asarray(positions, float), radii, FWHM), seen)
    return World(positions, np.array(fluxes, dtype=float), filled, clumps, usable, radii)


def told(positions: np.ndarray) -> Sources:
    """Sources of which nothing is solved yet."""
    return Sources.from_positions(np.array(positions, dtype=float), [PSF] * len(positions))
