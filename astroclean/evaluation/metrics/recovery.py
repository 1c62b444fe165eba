"""Measures of what came back: classes of S/N, stated errors, structure that is not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Coverage", "coverage", "share_within", "snr_classes", "spurious_groups"]

ONE_SIGMA, TWO_SIGMA = 1.0, 1.959964
"""Standard deviations on either side that hold 68.3 and 95 percent of the normal law."""


@dataclass(frozen=True)
class Coverage:
    """How many errors lie within one and two stated deviations; add two to pool frames."""

    one: int = 0
    two: int = 0
    count: int = 0

    def __add__(self, other: Coverage) -> Coverage:
        return Coverage(self.one + other.one, self.two + other.two, self.count + other.count)

    @property
    def shares(self) -> tuple[float, float]:
        """Shares within the intervals of 68 and of 95 percent; NaN without errors."""
        if not self.count:
            return float("nan"), float("nan")
        return self.one / self.count, self.two / self.count


def coverage(errors: Any, deviations: Any) -> Coverage:
    """Count errors within their stated deviations.

    Parameters
    ----------
    errors, deviations : array_like of one shape
        In one unit; those that are not finite, and deviations that are not positive, do not count.
    """
    error, sigma = (np.asarray(v, dtype=np.float64) for v in (errors, deviations))
    used = np.isfinite(error) & np.isfinite(sigma) & (sigma > 0)
    pulls = np.abs(error[used] / sigma[used])
    one, two = (int(np.count_nonzero(pulls <= limit)) for limit in (ONE_SIGMA, TWO_SIGMA))
    return Coverage(one, two, int(pulls.size))


def share_within(pulls: Any) -> tuple[float, float]:
    """Return the shares of errors, in stated deviations, within intervals of 68 and 95 percent."""
    values = np.asarray(pulls, dtype=np.float64)
    return coverage(values, np.ones(values.shape)).shares


def snr_classes(snr: Any, edges: Sequence[float]) -> NDArray[np.intp]:
    """Return the class of each S/N: 0 below the first edge, 1 from it on, and so on.

    What is not finite has the class 0: nothing was recovered there.
    """
    values = np.asarray(snr, dtype=np.float64)
    known = np.where(np.isfinite(values), values, -np.inf)
    return np.asarray(np.searchsorted(np.asarray(edges), known, side="right"))


def spurious_groups(
    image: NDArray[Any], truth: NDArray[Any], *, error: Any, sigmas: float = 5.0
) -> int:
    """Return how many groups of pixels stand above the truth by more than their error allows.

    Parameters
    ----------
    image, truth : (ny, nx)
        In one unit; pixels that are not finite belong to no group.
    error : float or (ny, nx)
        Standard deviation of a pixel.
    sigmas : float
        How many of them.

    Returns
    -------
    int
        Pixels that touch, at corners too, are one group.
    """
    from scipy.ndimage import label  # noqa: PLC0415 - slow to import

    excess = np.asarray(image, dtype=np.float64) - truth
    with np.errstate(invalid="ignore"):
        above = excess > sigmas * np.asarray(error, dtype=np.float64)
    return int(label(above, structure=np.ones((3, 3)))[1])
