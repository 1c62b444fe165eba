"""For `saturation`: what it must know of the whole frame. Charge may bleed along a whole column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.stage.scope import Survey, chunk_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean_classical.saturation.levels import Levels

__all__ = ["BleedingSurvey", "Clipping", "Saturated"]

# So many pixels with exactly the highest value may be a limit of the detector.
_PILED_UP = 5
_CERTAINLY = 50
# Of the height of the highest pixel above the sky. Where so many are as high it is no peak: of a
# star of FWHM 10 six pixels are within 5 % of its top. Flat fields make limits uneven.
_PLATEAU = 12
_NEARLY = 0.95
_BRIGHT = 100


@dataclass(frozen=True, eq=False)
class Saturated:
    """The levels of a frame, and where a column is saturated."""

    levels: Levels
    """NaN where none was found."""
    runs: NDArray[np.int64]
    """(n, 3) column, first row, row after the last of each run with a saturated pixel."""
    piled_up: tuple[float, int] | None = None
    """Highest value of the frame and how many pixels share it, where that is no chance."""
    stars: int | None = None
    """Stars that are cut off, where the level was found from them."""
    doubt: str = ""
    """Why the level that was found from stars may be none."""

    def paint(self, frame: Frame) -> NDArray[np.bool_]:
        """Return the pixels of the runs that lie in a frame, or in a part of one."""
        part = chunk_of(frame)
        (y, x), (ny, nx) = part.origin, frame.shape
        column, start, stop = self.runs.T
        inside = (stop > y) & (start < y + ny) & (column >= x) & (column < x + nx)
        column, start, stop = (values[inside] for values in (column - x, start - y, stop - y))
        # Runs of a column do not touch: one begins where another ended a row earlier at least.
        edges = np.zeros((ny + 1, nx), dtype=np.int8)
        edges[np.maximum(start, 0), column] = 1
        edges[np.minimum(stop, ny), column] -= 1
        painted: NDArray[np.bool_] = np.cumsum(edges[:-1], axis=0, dtype=np.int8) > 0
        return painted


class BleedingSurvey(Survey):
    """Finds the runs of pixels along columns that hold a saturated pixel.

    Parameters
    ----------
    levels : Levels
        Values from which pixels are saturated.
    fraction : float
        A run consists of pixels above this fraction of the level (no unit).
    stars, doubt
        As in :class:`Saturated`.
    """

    def __init__(
        self,
        levels: Levels,
        fraction: float,
        *,
        stars: int | None = None,
        doubt: str = "",
    ) -> None:
        self._levels = levels
        self._fraction = fraction
        self._found_by = (stars, doubt)
        self._clipping = Clipping()
        self._closed: list[NDArray[np.int64]] = []
        # Of the run that reaches the last row so far: its first row (-1: none), and if saturated.
        self._open = np.zeros(0, dtype=np.int64)
        self._seeded = np.zeros(0, dtype=bool)

    def add(self, frame: Frame, rows: slice) -> None:
        """Take the next rows."""
        data = frame.data[rows]
        self._clipping.add(data)
        if not self._open.size:
            self._open = np.full(data.shape[1], -1, dtype=np.int64)
            self._seeded = np.zeros(data.shape[1], dtype=bool)
        first = chunk_of(frame).origin[0] + rows.start
        last = first + data.shape[0]
        # Comparisons with NaN are false: neither seeds nor bleeding.
        level = self._levels.over(frame, rows)
        seeds = data >= level
        bled = data >= np.float32(self._fraction) * level
        column, start, stop, seeded = _runs(seeds | bled, seeds)
        start, stop = start + first, stop + first
        goes_on = (start == first) & (self._open[column] >= 0)
        seeded = seeded | (goes_on & self._seeded[column])
        start = np.where(goes_on, self._open[column], start)
        ended = self._open >= 0
        ended[column[goes_on]] = False
        self._close(np.flatnonzero(ended), self._open[ended], first, self._seeded[ended])
        self._open[:] = -1
        reaches = stop == last
        self._open[column[reaches]] = start[reaches]
        self._seeded[column[reaches]] = seeded[reaches]
        inner = ~reaches
        self._close(column[inner], start[inner], stop[inner], seeded[inner])
        self._last = last

    def finish(self) -> Saturated:
        """Return level and runs."""
        still = self._open >= 0
        if still.any():
            self._close(np.flatnonzero(still), self._open[still], self._last, self._seeded[still])
        none = np.zeros((0, 3), dtype=np.int64)
        stars, doubt = self._found_by
        runs = np.concatenate([none, *self._closed])
        return Saturated(self._levels, runs, self._clipping.piled_up, stars=stars, doubt=doubt)

    def _close(
        self, column: NDArray[np.intp], start: NDArray[Any], stop: Any, seeded: NDArray[np.bool_]
    ) -> None:
        """Keep the runs that hold a saturated pixel."""
        stops = np.broadcast_to(stop, start.shape)
        runs = np.stack([column, start, stops], axis=1).astype(np.int64)[seeded]
        if len(runs):
            self._closed.append(runs)


def _runs(
    wanted: NDArray[np.bool_], seeds: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Return column, first row, row after the last, and whether seeded, of each run of a column."""
    column, row = np.nonzero(wanted.T)
    begins = np.ones(len(row), dtype=bool)
    begins[1:] = (np.diff(column) != 0) | (np.diff(row) != 1)
    first = np.flatnonzero(begins)
    if not len(first):
        return column, row, row, begins
    last = np.append(first[1:], len(row)) - 1
    seeded = np.logical_or.reduceat(seeds[row, column], first)
    return column[first], row[first], row[last] + 1, seeded


class Clipping:
    """The level at which the values of a frame are cut off, from its rows in any order."""

    def __init__(self) -> None:
        self._highest = -np.inf
        self._shared = 0
        self._finite = 0
        self._top = np.zeros(0, dtype=np.float32)

    def add(self, data: NDArray[np.float32]) -> None:
        """Take further rows."""
        finite = data[np.isfinite(data)]
        if not finite.size:
            return
        self._finite += finite.size
        highest = float(finite.max())
        if highest > self._highest:
            self._highest, self._shared = highest, 0
        self._shared += int(np.count_nonzero(finite == np.float32(self._highest)))
        self._top = np.sort(np.concatenate([self._top, finite[finite >= self._least(finite)]]))
        self._top = self._top[-_PLATEAU:]

    @staticmethod
    def _least(values: NDArray[np.float32]) -> float:
        """Return a value that the highest ones reach, without sorting all."""
        place = values.size - min(values.size, _PLATEAU)
        return float(np.partition(values, place)[place])

    def plateau(self, sky: float, noise: float) -> float | None:
        """Return the level at which stars are cut off, though not at exactly one value.

        Parameters
        ----------
        sky, noise : float
            Level and standard deviation of the sky, in the unit of the frame.

        Returns
        -------
        float or None
            None where the highest pixels are no plateau far above the sky.
        """
        if self._top.size < _PLATEAU or self._top.size == self._finite:
            return None
        least, highest = float(self._top[0]) - sky, float(self._top[-1]) - sky
        is_flat = highest > _BRIGHT * noise and least >= _NEARLY * highest
        return sky + _NEARLY * highest if is_flat else None

    @property
    def piled_up(self) -> tuple[float, int] | None:
        """The highest value and how many pixels share it, where that is no chance."""
        many = _CERTAINLY <= self._shared < self._finite
        return (self._highest, self._shared) if many else None

    @property
    def level(self) -> float | None:
        """The highest value, if at least 5 pixels share exactly it; a constant frame has none."""
        return self._highest if _PILED_UP <= self._shared < self._finite else None
