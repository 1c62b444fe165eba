"""Clumps: holes that touch, with the sources whose light lies in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean_pconv.filling import Filled

__all__ = ["Clump", "find_clumps"]

_MOST_PIXELS = 1200
"""Pixels that are solved together: the work grows with their cube."""
_LENGTH = 0.7
"""Correlation length of the errors of a filling, in radii of a circle as large as the hole; with
the correlation of `separation` the likeliest for simulated maps that no training has seen."""


@dataclass(frozen=True, eq=False)
class Clump:
    """Pixels that are solved together; n of them, and k sources."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    own: NDArray[np.bool_]
    """(n,): pixels whose value is taken from this clump."""
    members: NDArray[np.intp]
    """(k,): indices of its sources."""
    length: float
    """Correlation length of the errors of the filling, pixels."""

    def of(self, image: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the values of an image, (n,) float64."""
        return image[self.rows, self.columns].astype(np.float64)

    def squared(self) -> NDArray[np.float64]:
        """Return squared distances of all pixels, (n, n), pixels squared."""
        dy = self.rows[:, None] - self.rows[None, :]
        dx = self.columns[:, None] - self.columns[None, :]
        return np.asarray(dy * dy + dx * dx, dtype=np.float64)


def find_clumps(
    filled: Filled, positions: NDArray[np.float64], radii: NDArray[np.float64]
) -> list[Clump]:
    """Return the clumps of a frame.

    Holes that touch are solved together. A crowd too large for that is shared among its sources:
    each has the pixels nearest to it, and sees those of its own hole.

    Parameters
    ----------
    filled : Filled
        What was filled.
    positions : (n, 2) float64
        x, y of the sources, pixels.
    radii : (n,) float64
        Of their holes.

    Returns
    -------
    list of Clump
        In an order that does not depend on that of the sources; holes without a source have none.
    """
    from scipy.ndimage import find_objects, label  # noqa: PLC0415 - costs a fifth of a second

    labels, count = label(filled.known, np.ones((3, 3)))
    members: list[list[int]] = [[] for _ in range(count + 1)]
    for index, (x, y) in enumerate(np.rint(positions).astype(int)):
        if 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1]:
            members[labels[y, x]].append(index)
    clumps = []
    for number, box in enumerate(find_objects(labels), start=1):
        if not members[number]:
            continue
        rows, columns = np.nonzero(labels[box] == number)
        rows, columns = rows + box[0].start, columns + box[1].start
        # Sums in another order round differently: sources go by their place.
        ordered = sorted(members[number], key=lambda i: tuple(positions[i, ::-1]))
        chosen = np.array(ordered, dtype=np.intp)
        if len(rows) <= _MOST_PIXELS:
            everything = np.ones(len(rows), dtype=bool)
            length = _LENGTH * float(np.sqrt(len(rows) / len(chosen) / np.pi))
            clumps.append(Clump(rows, columns, everything, chosen, max(length, 1.0)))
        else:
            clumps += _shared((rows, columns), chosen, positions, radii)
    return clumps


def _shared(
    pixels: tuple[NDArray[np.intp], NDArray[np.intp]],
    members: NDArray[np.intp],
    positions: NDArray[np.float64],
    radii: NDArray[np.float64],
) -> list[Clump]:
    """Return a clump for each source of a crowd."""
    from scipy.spatial import cKDTree  # noqa: PLC0415 - costs a fifth of a second

    places = np.column_stack(pixels).astype(np.float64)
    centers = positions[members][:, ::-1]
    _, nearest = cKDTree(centers).query(places)
    tree = cKDTree(places)
    found = []
    for index, member in enumerate(members):
        seen = np.union1d(
            np.asarray(tree.query_ball_point(centers[index], radii[member]), dtype=np.intp),
            _nearby(places, nearest == index, centers[index], 2 * radii[member]),
        )
        if len(seen):
            rows, columns = (axis[seen] for axis in pixels)
            alone = np.array([member])
            length = max(_LENGTH * float(radii[member]), 1.0)
            found.append(Clump(rows, columns, nearest[seen] == index, alone, length))
    return found


def _nearby(
    places: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    center: NDArray[np.float64],
    radius: float,
) -> NDArray[np.intp]:
    """Return chosen pixels within a radius; bad columns that cross a crowd reach far beyond."""
    index = np.flatnonzero(chosen)
    near: NDArray[np.intp] = index[np.hypot(*(places[index] - center).T) <= radius]
    return near
