"""Cut-outs: stamps of a frame, each with the hole pixels that it is to fill."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from astroclean.tiling.stamps import StampBox

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    Box = tuple[slice, slice]

__all__ = ["BATCHES", "REACH", "SIDE", "SIDES", "CutOut", "plan_cutouts"]

SIDE = 96
"""Pixels of a cut-out that networks are trained for (paper, section 2.4.1)."""
SIDES = {64: 28, 96: 48, 128: 64, 256: 128}
"""Sides of cut-outs, each with the largest hole that it shows with enough around it, pixels."""
BATCHES = {64: 4, 96: 4, 128: 2, 256: 1}
"""Cut-outs of each side that a network is fed at once, neither more nor fewer, where its card names
no batches."""
REACH = 2 * max(SIDES)
"""Pixels around a pixel within which lies all that decides how it is filled."""
_STEP = 1 / 2
"""From one to the next of the cut-outs that share a huge hole, in sides."""
_MARGIN = 1 / 32
"""Part of the side at the rim of these that counts nothing: too little is seen around it."""


@dataclass(frozen=True, eq=False)
class CutOut(StampBox):
    """The stamp of holes that are filled together."""

    own: NDArray[np.bool_]
    """(side, side): pixels that are filled from this cut-out."""
    shared: bool = False
    """Whether other cut-outs fill some of these pixels too; then ``weight`` tells how they are
    joined."""

    @property
    def weight(self) -> NDArray[np.float32]:
        """(side, side): what each pixel counts; 1 in the middle, falling smoothly to 0."""
        return _weight(self.side)


def plan_cutouts(
    fill: NDArray[np.bool_],
    *,
    origin: tuple[int, int] = (0, 0),
    sides: Iterable[int] = tuple(SIDES),
) -> list[CutOut]:
    """Return cut-outs that together fill each pixel of holes.

    Holes that touch are one hole, and lie whole in one cut-out where they fit: centered, or, where
    they are small, with others of their neighbourhood. Larger ones (a bad column) are shared among
    cut-outs on a fixed grid that overlap: at a border between two that do not, both guess, each
    from what it sees, and a step would be left. The plan depends on the holes alone, not on the
    order in which they were found, nor on where a part of a larger frame begins.

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
    huge = np.zeros(fill.shape, dtype=bool)
    groups: dict[tuple[int, ...], list[tuple[int, Box]]] = {}
    for number, box in enumerate(find_objects(labels), start=1):
        longest = max(part.stop - part.start for part in box)
        if longest > max(cores.values()):
            huge[box] |= labels[box] == number
            continue
        if longest <= cell:
            # Two such boxes that begin in one cell fit into the smallest cut-out together.
            place = (part.start + first for part, first in zip(box, origin, strict=True))
            key: tuple[int, ...] = tuple(first // cell for first in place)
        else:
            key = (-number, 0)
        groups.setdefault(key, []).append((number, box))
    made = [_of_group(labels, members, cores) for members in groups.values()]
    made += _sharing(huge, origin, max(cores))
    return sorted(made, key=lambda one: (one.side, one.y, one.x))


def _of_group(
    labels: NDArray[np.integer], members: list[tuple[int, Box]], cores: Mapping[int, int]
) -> CutOut:
    """Return the cut-out of holes that are filled together."""
    numbers = [number for number, _ in members]
    low = [min(box[axis].start for _, box in members) for axis in (0, 1)]
    high = [max(box[axis].stop for _, box in members) for axis in (0, 1)]
    longest = max(last - first for first, last in zip(low, high, strict=True))
    side = next(side for side, core in cores.items() if core >= longest)
    y, x = ((first + last - side) // 2 for first, last in zip(low, high, strict=True))
    shown = labels[low[0] : high[0], low[1] : high[1]]
    inside = shown == numbers[0] if len(numbers) == 1 else np.isin(shown, numbers)
    own = np.zeros((side, side), dtype=bool)
    own[low[0] - y : high[0] - y, low[1] - x : high[1] - x] = inside
    return CutOut(y, x, side, own)


def _sharing(huge: NDArray[np.bool_], origin: tuple[int, int], side: int) -> list[CutOut]:
    """Return the cut-outs of a fixed grid that share pixels among them."""
    rows, columns = (np.flatnonzero(huge.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return []
    tops, lefts = (
        _grid(int(axis[0]), int(axis[-1]), first, side)
        for axis, first in zip((rows, columns), origin, strict=True)
    )
    counted = _weight(side) > 0
    found = []
    for y, x in itertools.product(tops, lefts):
        own = StampBox(y, x, side).cut(huge, outside=False) & counted
        if own.any():
            found.append(CutOut(y, x, side, own, shared=True))
    return found


def _grid(first: int, last: int, start: int, side: int) -> range:
    """Return where cut-outs begin that fill something from a first to a last pixel."""
    step, margin = int(_STEP * side), int(_MARGIN * side)
    # Of the larger frame, whatever part of it this is.
    begin = -(-(first - (side - margin - 1) + start) // step) * step - start
    return range(begin, last - margin + 1, step)


@cache
def _weight(side: int) -> NDArray[np.float32]:
    half, margin = side / 2, int(_MARGIN * side)
    away = np.minimum(np.abs(np.arange(side) + 0.5 - half) / (half - margin), 1)
    line = np.where(away < 1, np.cos(0.5 * np.pi * away) ** 2, 0)
    return np.outer(line, line).astype(np.float32)
