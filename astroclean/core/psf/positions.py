"""Positions of the stamps of a PSF that varies, and what each tells of a place between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from astroclean.errors import PsfError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["StampPositions", "stamp_positions"]

_TRIANGLE = 3
_ROUNDING = 1e-9
"""Part of a triangle by which a place on the edge of two may seem to lie in neither."""


def stamp_positions(count: int, places: NDArray[np.float64] | None) -> StampPositions | None:
    """Return where stamps were measured, or None for one that holds everywhere.

    Raises
    ------
    PsfError
        There is not one position (x, y) for each.
    """
    if places is None:
        if count != 1:
            raise PsfError("several PSF stamps need a position each", received=count)
        return None
    if places.shape != (count, 2):
        raise PsfError(f"need {count} positions (x, y)", received=places.shape)
    return StampPositions(places)


@dataclass(frozen=True, eq=False)
class StampPositions:
    """Where the stamps of a PSF were measured.

    Between all nodes of a rectangular grid the PSF is bilinear. Between scattered positions it is
    linear in each Delaunay triangle. Beyond the outermost positions it is that of the nearest place
    which they enclose. So a stamp that changes linearly over the frame comes out as it is.

    Parameters
    ----------
    places : (n, 2) float64
        x, y in pixels, in any order.

    Raises
    ------
    PsfError
        A position is not finite, or occurs twice.
    """

    places: NDArray[np.float64]

    def __post_init__(self) -> None:
        if not np.isfinite(self.places).all():
            raise PsfError("positions of PSF stamps must be finite", received=self.places.tolist())
        if len(np.unique(self.places, axis=0)) != len(self.places):
            raise PsfError(
                "two PSF stamps have the same position",
                received=self.places.tolist(),
                remedy="Give one stamp a position, such as the mean of both.",
            )

    @cached_property
    def is_grid(self) -> bool:
        """Whether these are all nodes of a rectangular grid."""
        return bool(np.prod([len(np.unique(axis)) for axis in self.places.T]) == len(self.places))

    def joined(self, images: NDArray[np.float64], x: float, y: float) -> NDArray[np.float64]:
        """Return what images of the stamps, (n, ky, kx), are at a place: a new array (ky, kx)."""
        weights = self.weights(x, y)
        used = np.flatnonzero(weights)
        image: NDArray[np.float64] = np.tensordot(weights[used], images[used], axes=1)
        return image

    def weights(self, x: float, y: float) -> NDArray[np.float64]:
        """Return what part each stamp has in the PSF of a place.

        Parameters
        ----------
        x, y : float
            Pixels.

        Returns
        -------
        (n,) float64
            Not negative, of sum 1.
        """
        if self.is_grid:
            return self._on_grid(x, y)
        place = np.array([x, y], dtype=np.float64)
        within = self._in_triangle(place)
        return self._on_rim(place) if within is None else within

    def _on_grid(self, x: float, y: float) -> NDArray[np.float64]:
        weights = np.ones(len(self.places))
        for axis, value in enumerate((x, y)):
            nodes = np.unique(self.places[:, axis])
            hats = np.array([np.interp(value, nodes, row) for row in np.eye(len(nodes))])
            weights *= hats[np.searchsorted(nodes, self.places[:, axis])]
        return weights

    @cached_property
    def _order(self) -> NDArray[np.intp]:
        """Of the places: four on a circle have two triangulations, and one must be meant."""
        return np.lexsort(self.places.T)

    @cached_property
    def _triangles(self) -> NDArray[np.intp]:
        """(m, 3) numbers of positions; none where all lie on a line."""
        from scipy.spatial import Delaunay, QhullError  # noqa: PLC0415 - costs a fifth of a second

        try:
            found = Delaunay(self.places[self._order])
        except QhullError:
            return np.empty((0, _TRIANGLE), dtype=np.intp)
        triangles = self._order[found.simplices]
        corners = self.places[triangles]
        flat = np.linalg.det(corners[:, 1:] - corners[:, :1]) == 0
        return np.asarray(triangles[~flat])

    @cached_property
    def _rim(self) -> NDArray[np.intp]:
        """(m, 2) numbers of positions: edges of one triangle alone, or pieces of the line."""
        if not len(self._triangles):
            return np.column_stack([self._order[:-1], self._order[1:]])
        edges = np.sort(np.concatenate([self._triangles[:, [i, i - 1]] for i in range(_TRIANGLE)]))
        found, count = np.unique(edges, axis=0, return_counts=True)
        return np.asarray(found[count == 1])

    def _in_triangle(self, place: NDArray[np.float64]) -> NDArray[np.float64] | None:
        corners = self.places[self._triangles]
        if not len(corners):
            return None
        sides = np.swapaxes(corners[:, 1:] - corners[:, :1], 1, 2)
        far = np.linalg.solve(sides, (place - corners[:, 0])[..., np.newaxis])[..., 0]
        parts = np.column_stack([1 - far.sum(axis=1), far])
        best = int(np.argmax(parts.min(axis=1)))
        if parts[best].min() < -_ROUNDING:
            return None
        weights = np.zeros(len(self.places))
        inside = np.clip(parts[best], 0, None)
        weights[self._triangles[best]] = inside / inside.sum()
        return weights

    def _on_rim(self, place: NDArray[np.float64]) -> NDArray[np.float64]:
        start, stop = self.places[self._rim[:, 0]], self.places[self._rim[:, 1]]
        along = stop - start
        part = np.sum((place - start) * along, axis=1) / np.sum(along**2, axis=1)
        part = np.clip(part, 0, 1)
        away = np.hypot(*(start + part[:, np.newaxis] * along - place).T)
        best = int(np.argmin(away))
        weights = np.zeros(len(self.places))
        weights[self._rim[best]] = 1 - part[best], part[best]
        return weights
