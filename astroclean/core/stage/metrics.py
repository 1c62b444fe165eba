"""Numbers of a frame that are counted chunk by chunk, and how those of chunks join."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from astroclean.core.stage.scope import chunk_of
from astroclean.moved import Renamed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["Ratio", "Share", "Total", "counted", "joined_metrics"]


class Total(float):
    """A sum over pixels; those of chunks add up to that of the frame, to the last digit.

    A float in all respects: it remembers the exact sum, which no order of additions changes.

    Parameters
    ----------
    exact : int, float or Fraction
        The sum.
    """

    exact: Fraction | None
    """None where the sum is no number."""

    def __new__(cls, exact: float | Fraction = 0) -> Self:
        """Return a sum."""
        value = super().__new__(cls, exact)
        value.exact = Fraction(exact) if math.isfinite(value) else None
        return value

    @classmethod
    def from_pixels(cls, pixels: NDArray[Any]) -> Total:
        """Return the sum of the pixels of whole rows.

        Parameters
        ----------
        pixels : (ny, nx) array
            Not modified. Each row is summed in float64; rows are added exactly.
        """
        rows = np.atleast_1d(np.sum(pixels, axis=1, dtype=np.float64)).tolist()
        if not all(map(math.isfinite, rows)):
            return cls(math.nan if any(map(math.isnan, rows)) else sum(rows))
        return cls(sum(map(Fraction, rows), Fraction()))

    of = Renamed("from_pixels")

    def joined(self, other: float) -> Total:
        """Return the sum of both."""
        theirs = other.exact if isinstance(other, Total) else Fraction(other)
        if self.exact is None or theirs is None:
            return Total(float(self) + float(other))
        return Total(self.exact + theirs)

    def __reduce__(self) -> tuple[Any, ...]:
        return Total, (float(self) if self.exact is None else self.exact,)


class Share(float):
    """A part of the pixels; of chunks, that of all their pixels.

    Parameters
    ----------
    count : int
        Pixels that are meant.
    total : int
        All of them.
    """

    count: int
    total: int
    of = Renamed("total")

    def __new__(cls, count: int, total: int) -> Self:
        """Return a share, 0 of no pixels."""
        value = super().__new__(cls, count / max(total, 1))
        value.count, value.total = count, total
        return value

    def joined(self, other: Share) -> Share:
        """Return the share of both together."""
        return Share(self.count + other.count, self.total + other.total)

    def __reduce__(self) -> tuple[Any, ...]:
        return Share, (self.count, self.total)


class Ratio(float):
    """A sum over pixels as a multiple of another; of chunks, with the sums of all their pixels.

    Parameters
    ----------
    part, whole : Total
        The sums. Of nothing, there is no multiple: NaN.
    """

    part: Total
    whole: Total

    def __new__(cls, part: Total, whole: Total) -> Self:
        """Return a ratio."""
        value = super().__new__(cls, part / whole if whole else math.nan)
        value.part, value.whole = part, whole
        return value

    def joined(self, other: Ratio) -> Ratio:
        """Return the ratio of both together."""
        return Ratio(self.part.joined(other.part), self.whole.joined(other.whole))

    def __reduce__(self) -> tuple[Any, ...]:
        return Ratio, (self.part, self.whole)


def counted(frame: Frame, pixels: NDArray[np.bool_]) -> Total:
    """Return how many pixels of a frame are meant; of a chunk, its own rows count.

    Parameters
    ----------
    frame : Frame
        That the hook got.
    pixels : (ny, nx) bool
        Of the whole of it.
    """
    return Total(int(np.count_nonzero(pixels[chunk_of(frame).own])))


def joined_metrics(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the metrics of a frame from those of its chunks.

    Parameters
    ----------
    parts : iterable of mapping of str to float
        Metrics of one stage, chunk by chunk. A `Total`, `Share` or `Ratio` counts own rows only;
        any other number is of the whole frame, as what a survey found.

    Returns
    -------
    dict of str to float
        Without numbers that differ from chunk to chunk though nothing says how they join.
    """
    joined: dict[str, float] = {}
    unknown: set[str] = set()
    for metrics in parts:
        for name, value in metrics.items():
            known = joined.get(name)
            both = value if known is None else _joined(known, value)
            if both is None:
                unknown.add(name)
            else:
                joined[name] = both
    return {name: value for name, value in joined.items() if name not in unknown}


def _joined(one: float, other: float) -> float | None:
    """Return what two chunks say together; None where that is not known."""
    if isinstance(one, Total):
        return one.joined(other)
    if isinstance(one, Share) and isinstance(other, Share):
        return one.joined(other)
    if isinstance(one, Ratio) and isinstance(other, Ratio):
        return one.joined(other)
    return one if one == other or (math.isnan(one) and math.isnan(other)) else None
