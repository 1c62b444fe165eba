"""For `saturation`: from the flat tops of stars, the level of a frame, or of each amplifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean_classical.saturation.levels import Levels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean_classical.saturation.clipped import FlatTop

__all__ = ["levels_of"]

_SAME = 0.08
"""Heights of the tops of one amplifier differ by so much at most: flat fields stretch them."""
_GAP = 0.05
"""Between two tops of one kind, sorted by height."""
_LOWEST = 0.75
"""Of the median height: what is lower was cut off by something else."""
_FEWEST = 2
"""Tops that tell the level of an amplifier."""


def levels_of(tops: Sequence[FlatTop], shape: tuple[int, int]) -> Levels:
    """Return heights above the sky from which pixels are cut off.

    Parameters
    ----------
    tops : sequence of FlatTop
        At least one.
    shape : (ny, nx)
        Of the frame, in pixels.

    Returns
    -------
    Levels
        One height where the tops do not differ, or not by place; two where a row or a column parts
        them; four where the middle row and the middle column do.
    """
    places = np.array([[top.y, top.x] for top in tops])
    heights = np.array([top.height for top in tops])
    lowest = np.array([top.lowest for top in tops])
    if not _is_one(heights):
        for axis in (1, 0):
            cut = _cut(places[:, axis], heights, shape[axis])
            if cut is not None:
                sides = [lowest[places[:, axis] < cut], lowest[places[:, axis] >= cut]]
                found = tuple(float(side.min()) for side in sides)
                if axis == 1:
                    return Levels((found,), column_cuts=(cut,))
                return Levels(tuple((value,) for value in found), row_cuts=(cut,))
        quarters = _quarters(places, heights, lowest, shape)
        if quarters is not None:
            return quarters
    return Levels.same(_of_most(heights, lowest))


def _is_one(heights: NDArray[np.float64]) -> bool:
    """Return whether heights are those of one amplifier."""
    return bool(heights.max() - heights.min() <= _SAME * np.median(heights))


def _cut(places: NDArray[np.float64], heights: NDArray[np.float64], length: int) -> int | None:
    """Return the first pixel of the second amplifier along an axis, if there are two."""
    order = np.argsort(places, kind="stable")
    places, heights = places[order], heights[order]
    for count in range(_FEWEST, len(places) - _FEWEST + 1):
        sides = heights[:count], heights[count:]
        differ = abs(np.median(sides[0]) - np.median(sides[1])) > _SAME * np.median(heights)
        if differ and _is_one(sides[0]) and _is_one(sides[1]):
            before, after = places[count - 1], places[count]
            middle = length // 2
            return middle if before < middle <= after else int(np.ceil((before + after) / 2))
    return None


def _quarters(
    places: NDArray[np.float64],
    heights: NDArray[np.float64],
    lowest: NDArray[np.float64],
    shape: tuple[int, int],
) -> Levels | None:
    """Return the levels of four amplifiers that meet in the middle, where each has its own."""
    y, x = shape[0] // 2, shape[1] // 2
    quarter = 2 * (places[:, 0] >= y) + (places[:, 1] >= x)
    members = [quarter == number for number in range(4)]
    if any(np.count_nonzero(m) < _FEWEST or not _is_one(heights[m]) for m in members):
        return None
    a, b, c, d = (float(lowest[m].min()) for m in members)
    return Levels(((a, b), (c, d)), row_cuts=(y,), column_cuts=(x,))


def _of_most(heights: NDArray[np.float64], lowest: NDArray[np.float64]) -> float:
    """Return the lowest of the tops that go down from the median without a gap."""
    order = np.argsort(heights, kind="stable")
    heights, lowest = heights[order], lowest[order]
    middle = (len(heights) - 1) // 2
    least = _LOWEST * heights[middle]
    first = middle
    while first and heights[first - 1] >= max((1 - _GAP) * heights[first], least):
        first -= 1
    return float(lowest[first : middle + 1].min())
