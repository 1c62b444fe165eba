"""Cut-outs: small square views of a frame, each with the hole pixels that it is to fill."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    Box = tuple[slice, slice]

__all__ = ["BATCHES", "REACH", "SIDE", "SIDES", "CutOut", "cut", "plan_cutouts"]

SIDE = 96
"""Pixels of a cut-out that networks are trained for (paper, section 2.4.1)."""
SIDES = {64: 28, 96: 48, 128: 64, 256: 128}
"""Sides of cut-outs, each with the largest hole that it shows with enough around it, pixels."""
BATCHES = {64: 4, 96: 4, 128: 2, 256: 1}
"""Cut-outs of each side that a network is fed at once, neither more nor fewer, where its card names
no batches."""
REACH = 2 * max(SIDES)
"""Pixels around a pixel within which lies all that decides how it is filled."""


@dataclass(frozen=True, eq=False)
class CutOut:
    """A square view of a frame that may reach beyond its border."""

    y: int
    """First row; negative above the frame."""
    x: int
    """First column."""
    own: NDArray[np.bool_]
    """(side, side): pixels that are filled from this cut-out, and from no other."""

    @property
    def side(self) -> int:
        """Pixels along a side."""
        return int(self.own.shape[0])

    def put(self, target: NDArray[Any], values: NDArray[Any]) -> None:
        """Write the pixels that this cut-out fills into a frame."""
        rows, columns = self._filled
        target[rows + self.y, columns + self.x] = values[rows, columns]

    @cached_property
    def _filled(self) -> tuple[NDArray[np.intp], ...]:
        """Rows and columns of what is filled."""
        return np.nonzero(self.own)


def plan_cutouts(
    fill: NDArray[np.bool_],
    *,
    origin: tuple[int, int] = (0, 0),
    sides: Iterable[int] = tuple(SIDES),
) -> list[CutOut]:
    """Return cut-outs that together fill each pixel of holes once.

    Holes that touch are one hole, and lie whole in one cut-out where they fit: centered, or, where
    they are small, with others of their neighbourhood. Larger ones (a bad column) are shared among
    cut-outs on a fixed grid. The plan depends on the holes alone, not on the order in which they
    were found, nor on where a part of a larger frame begins.

    Parameters
    ----------
    fill : (ny, nx) bool
        Pixels to fill, of any shape.
    origin : (int, int)
        (y, x) of the first pixel in a larger frame.
    sides : iterable of int
        That the network takes, of those of `SIDES`.

    Returns
    -------
    list of CutOut
        By side, then in the order of rows.
    """
    from scipy.ndimage import find_objects, label  # noqa: PLC0415 - costs a fifth of a second

    cores = {side: SIDES[side] for side in sorted(sides)}
    cell = next(iter(cores.values())) // 2
    labels, _ = label(fill, np.ones((3, 3)))
    groups: dict[tuple[int, ...], list[tuple[int, Box]]] = {}
    for number, box in enumerate(find_objects(labels), start=1):
        longest = max(part.stop - part.start for part in box)
        if longest <= cell:
            # Two such boxes that begin in one cell fit into the smallest cut-out together.
            place = (part.start + first for part, first in zip(box, origin, strict=True))
            key: tuple[int, ...] = tuple(first // cell for first in place)
        else:
            key = (-number, 0)
        groups.setdefault(key, []).append((number, box))
    made = [one for members in groups.values() for one in _of_group(labels, members, origin, cores)]
    return sorted(made, key=lambda one: (one.side, one.y, one.x))


def _of_group(
    labels: NDArray[np.integer],
    members: list[tuple[int, Box]],
    origin: tuple[int, int],
    cores: Mapping[int, int],
) -> list[CutOut]:
    """Return the cut-outs of holes that are filled together."""
    numbers = [number for number, _ in members]
    low = [min(box[axis].start for _, box in members) for axis in (0, 1)]
    high = [max(box[axis].stop for _, box in members) for axis in (0, 1)]
    longest = max(last - first for first, last in zip(low, high, strict=True))
    side = next((side for side, core in cores.items() if core >= longest), None)
    if side is not None:
        boxes = [(tuple(low), tuple(high))]
    else:
        side = max(cores)
        boxes = list(_cells(low, high, cores[side], origin))
    found = []
    for (top, left), (bottom, right) in boxes:
        # The cut-out is that of the whole cell, of which the frame may hold a part.
        y, x = ((first + last - side) // 2 for first, last in ((top, bottom), (left, right)))
        rows = slice(max(top, 0), min(bottom, labels.shape[0]))
        columns = slice(max(left, 0), min(right, labels.shape[1]))
        shown = labels[rows, columns]
        inside = shown == numbers[0] if len(numbers) == 1 else np.isin(shown, numbers)
        if not inside.any():
            continue
        own = np.zeros((side, side), dtype=bool)
        place = (rows.start - y, columns.start - x)
        own[tuple(slice(p, p + n) for p, n in zip(place, inside.shape, strict=True))] = inside
        found.append(CutOut(y, x, own))
    return found


def _cells(
    low: list[int], high: list[int], core: int, origin: tuple[int, int]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Yield first pixels and ends of the cells of a grid that a box touches."""
    firsts = [
        range((first + start) // core * core - start, last, core)
        for first, last, start in zip(low, high, origin, strict=True)
    ]
    for top, left in itertools.product(*firsts):
        yield (top, left), (top + core, left + core)


def cut(image: NDArray[Any], one: CutOut, *, outside: Any) -> NDArray[Any]:
    """Return what a cut-out shows of an image.

    Parameters
    ----------
    image : (ny, nx) array
        A frame, or a mask.
    one : CutOut
        Where.
    outside : scalar
        Stands beyond the border.

    Returns
    -------
    (side, side) array
        A new array of the type of the image.
    """
    side = one.side
    shown = np.full((side, side), outside, dtype=image.dtype)
    ny, nx = image.shape
    top, left = max(one.y, 0), max(one.x, 0)
    bottom, right = min(one.y + side, ny), min(one.x + side, nx)
    if top < bottom and left < right:
        shown[top - one.y : bottom - one.y, left - one.x : right - one.x] = image[
            top:bottom, left:right
        ]
    return shown
