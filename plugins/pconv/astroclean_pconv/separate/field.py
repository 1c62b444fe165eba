"""A frame less the light of its sources, kept up to date while they are solved clump by clump."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from astroclean_pconv.separate.clumps import find_clumps
from astroclean_pconv.separate.equations import Pixels, measure, solve
from astroclean_pconv.separate.stretches import Stretch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from astroclean_pconv.fill.filling import Filled, Surroundings
    from astroclean_pconv.separate.clumps import Clump, Places
    from astroclean_pconv.separate.equations import Doubts, Solution
    from astroclean_pconv.separate.fitted import Sources

    Found = TypeVar("Found")

__all__ = ["Field"]

_SWEEPS = 4
"""Over the sources of a crowd that is too large to be solved at once."""


class Field:
    """The sources of a frame, and what is left of it without them.

    Parameters
    ----------
    around : Surroundings
        The frame. Not modified.
    sources : Sources
        Brought up to date.
    places : Places
        Of the sources.
    """

    def __init__(self, around: Surroundings, sources: Sources, places: Places) -> None:
        self.sources, self._places = sources, places
        self._usable = around.usable & np.isfinite(around.data)
        self._data = np.where(self._usable, around.data, 0).astype(np.float64)
        self.left = self._data.copy()
        """(ny, nx) float64: the frame less the light; of no meaning where it is not usable."""
        self.clumps: list[Clump] = []
        """Pixels that are solved together."""

    def divide(self, filled: Filled, holes: NDArray[np.bool_]) -> None:
        """Divide the pixels among the sources.

        Parameters
        ----------
        filled : Filled
            Of the holes.
        holes : (ny, nx) bool
            Those of the frame as it is looked at.
        """
        self._filled = filled
        self.clumps = find_clumps(filled, self._places, self._usable & ~holes)

    def doubt_at(self, index: int) -> float:
        """Return the standard deviation of a pixel of the filling, at a source."""
        x, y = np.rint(self.sources.positions[index]).astype(int)
        filled = self._filled
        return float(np.hypot(filled.deviation[y, x], filled.sigma[y, x]))

    def pixels(self, clump: Clump) -> Pixels:
        """Return what is known of a clump, and what is seen there less all other sources' light.

        Its matrices are large: those of one clump at a time are kept.
        """
        stretch = Stretch.of(clump, self._filled, self._usable, fwhm=self._places.beam)
        seen = self.left[clump.rows, clump.columns]
        for member in clump.members:
            flux = self.sources.flux[member]
            seen = seen + flux * self.sources.image_of(member, clump.rows, clump.columns)
        return Pixels(clump, stretch, np.asarray(seen))

    def measure(self, doubts: Doubts) -> None:
        """Find fluxes and shapes of the sources alone; see `solve`."""
        self._work(measure, doubts)

    def solve(self, doubts: Doubts) -> list[Solution]:
        """Solve all clumps.

        Clumps with a hole of their own see the light of all others as it was; those that share one
        are solved again and again, each with what the others have become.
        """
        known = self._work(solve, doubts)
        return [known[index] for index in range(len(self.clumps))]

    def _work(
        self, way: Callable[[Pixels, Sources, Doubts], Found], doubts: Doubts
    ) -> dict[int, Found]:
        """Bring all sources up to date; return what was found of each clump."""
        known = {
            index: way(self.pixels(clump), self.sources, doubts)
            for index, clump in enumerate(self.clumps)
            if not clump.shared
        }
        crowds = [index for index, clump in enumerate(self.clumps) if clump.shared]
        if crowds:
            self.update()
        for _ in range(_SWEEPS if crowds else 0):
            for index in crowds:
                clump = self.clumps[index]
                pixels = self.pixels(clump)
                self._light(clump, 1.0)
                known[index] = way(pixels, self.sources, doubts)
                self._light(clump, -1.0)
        self.update()
        return known

    def _light(self, clump: Clump, factor: float) -> None:
        """Add the light of the sources of a clump to what is left, as they are now."""
        for member in clump.members:
            self.sources.add(self.left, int(member), factor * float(self.sources.flux[member]))

    @property
    def taken(self) -> NDArray[np.float64]:
        """(ny, nx): the light that is taken away."""
        return np.asarray(self._data - self.left)

    def update(self) -> None:
        """Take the light away as the sources are now."""
        self.left = self._data - self.sources.light(self._data.shape)
