"""Clumps: holes that touch, with the sources whose light lies in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean_pconv.fill.filling import Filled

__all__ = ["Clump", "Places", "find_clumps"]

_MOST_PIXELS = 1200
"""Pixels that are solved together: the work grows with their cube."""
_REACH = 2.0
"""Radius in FWHM within which pixels tell of a source, be they in its hole or not."""
_RIM = 2
"""Pixels around a hole that are solved with it in any case."""
_LENGTH = 0.7
"""Correlation length of the errors of a filling, in radii of a circle as large as the hole; with
the correlation of `separation` the likeliest for simulated maps that no training has seen."""


@dataclass(frozen=True, eq=False)
class Clump:
    """Pixels that are solved together; n of them, and k sources."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    inside: NDArray[np.bool_]
    """(n,): pixels of the hole; the others surround it."""
    own: NDArray[np.bool_]
    """(n,): pixels whose value is taken from this clump."""
    members: NDArray[np.intp]
    """(k,): indices of its sources."""
    length: float
    """Correlation length of the errors of the filling, pixels."""

    @property
    def shared(self) -> bool:
        """Whether other clumps have pixels of the same hole."""
        return not np.array_equal(self.own, self.inside)

    def of(self, image: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the values of an image, (n,) float64."""
        return image[self.rows, self.columns].astype(np.float64)

    @property
    def squared(self) -> NDArray[np.intp]:
        """Squared distances of all pixels, (n, n), pixels squared."""
        dy = self.rows[:, None] - self.rows[None, :]
        dx = self.columns[:, None] - self.columns[None, :]
        return np.asarray(dy * dy + dx * dx, dtype=np.intp)


@dataclass(frozen=True, eq=False)
class Places:
    """Where the sources of a frame are."""

    positions: NDArray[np.float64]
    """(k, 2) x, y, pixels."""
    radii: NDArray[np.float64]
    """(k,) of their holes, pixels."""
    beam: float
    """FWHM of the PSF, pixels."""
    sampled: bool = True
    """Whether the PSF is known between its pixels."""

    @property
    def reach(self) -> float:
        """Distance in pixels up to which pixels around a source are solved with it.

        Where the PSF is not known between its pixels those would make fluxes worse, not better.
        """
        return _REACH * self.beam if self.sampled else 0.0


def find_clumps(filled: Filled, places: Places, seen: NDArray[np.bool_]) -> list[Clump]:
    """Return the clumps of a frame.

    Holes that touch are solved together, with what surrounds them. A crowd too large for that is
    shared among its sources: each has the pixels nearest to it, and sees those of its own hole.

    Parameters
    ----------
    filled : Filled
        What was filled.
    places : Places
        Of the sources.
    seen : (ny, nx) bool
        Pixels that are usable and in no hole.

    Returns
    -------
    list of Clump
        In an order that does not depend on that of the sources; holes without a source have none.
    """
    from scipy.ndimage import find_objects, label  # noqa: PLC0415 - costs a fifth of a second

    positions = places.positions
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
            length = _LENGTH * float(np.sqrt(len(rows) / len(chosen) / np.pi))
            around = _around((rows, columns), positions[chosen], places.reach, seen)
            clumps.append(_whole((rows, columns), around, chosen, max(length, 1.0)))
        else:
            clumps += _shared((rows, columns), chosen, places)
    return clumps


def _whole(
    pixels: tuple[NDArray[np.intp], NDArray[np.intp]],
    around: tuple[NDArray[np.intp], NDArray[np.intp]],
    members: NDArray[np.intp],
    length: float,
) -> Clump:
    """Return the clump of a hole; with what surrounds it unless that is too much."""
    if len(pixels[0]) + len(around[0]) > _MOST_PIXELS:
        around = (around[0][:0], around[1][:0])
    rows, columns = (np.concatenate(axis) for axis in zip(pixels, around, strict=True))
    inside = np.arange(len(rows)) < len(pixels[0])
    return Clump(rows, columns, inside, inside, members, length)


def _around(
    pixels: tuple[NDArray[np.intp], NDArray[np.intp]],
    centers: NDArray[np.float64],
    reach: float,
    seen: NDArray[np.bool_],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pixels next to a hole, and those near its sources."""
    from scipy.ndimage import binary_dilation  # noqa: PLC0415 - costs a fifth of a second

    margin = int(np.ceil(reach)) + _RIM
    first = [max(int(axis.min()) - margin, 0) for axis in pixels]
    box = tuple(
        slice(start, int(axis.max()) + margin + 1)
        for start, axis in zip(first, pixels, strict=True)
    )
    part = seen[box]
    hole = np.zeros(part.shape, dtype=bool)
    hole[pixels[0] - first[0], pixels[1] - first[1]] = True
    near = binary_dilation(hole, iterations=_RIM) if reach else hole
    y, x = np.ogrid[: part.shape[0], : part.shape[1]]
    for center_x, center_y in centers:
        near |= np.hypot(y + first[0] - center_y, x + first[1] - center_x) <= reach
    rows, columns = np.nonzero(near & part & ~hole)
    return rows + first[0], columns + first[1]


def _shared(
    pixels: tuple[NDArray[np.intp], NDArray[np.intp]],
    members: NDArray[np.intp],
    sources: Places,
) -> list[Clump]:
    """Return a clump for each source of a crowd."""
    from scipy.spatial import cKDTree  # noqa: PLC0415 - costs a fifth of a second

    places = np.column_stack(pixels).astype(np.float64)
    centers, radii = sources.positions[members][:, ::-1], sources.radii
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
            inside = np.ones(len(seen), dtype=bool)
            found.append(Clump(rows, columns, inside, nearest[seen] == index, alone, length))
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
