"""Values in classes of another value: quantiles for boxes, means for curves."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean.evaluation.figure_marks import Quantiles

__all__ = ["class_quantiles", "cumulative_share", "log_means"]

_PERCENTILES = (5, 25, 50, 75, 95)
_FEWEST = 3
"""Values of which quantiles or a mean say something."""


def class_quantiles(
    values: NDArray[Any], by: NDArray[Any], edges: Sequence[float]
) -> tuple[Quantiles | None, ...]:
    """Return quantiles of the finite values in each class.

    Parameters
    ----------
    values, by : 1-D arrays of one size
        What to describe; what makes the classes.
    edges : sequence of float
        Rising; a class has its lower edge and not its upper one.

    Returns
    -------
    tuple of (float, float, float, float, float) or None
        5, 25, 50, 75 and 95 percent; None for classes with fewer than three values.
    """
    told: list[Quantiles | None] = []
    for low, high in pairwise(edges):
        sample = values[np.isfinite(values) & (by >= low) & (by < high)]
        q = np.percentile(sample, _PERCENTILES) if sample.size >= _FEWEST else None
        told.append(None if q is None else (q[0], q[1], q[2], q[3], q[4]))
    return tuple(told)


def log_means(
    values: NDArray[Any], by: NDArray[Any], limits: tuple[float, float], *, bins: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return means in bins of equal width in the logarithm.

    Parameters
    ----------
    values, by : 1-D arrays of one size
        Those not finite in either are left out.
    limits : (float, float)
        Ends of the bins; what lies beyond counts in the first or last.
    bins : int
        How many.

    Returns
    -------
    middles, means : tuple of float
        Of bins with three values or more.
    """
    used = np.isfinite(values) & np.isfinite(by) & (by > 0)
    low, high = np.log(limits)
    place = np.clip((np.log(by[used]) - low) / (high - low), 0, 1 - 1e-12)
    index = (place * bins).astype(int)
    counts = np.bincount(index, minlength=bins)
    sums = np.bincount(index, weights=values[used].astype(float), minlength=bins)
    told = np.flatnonzero(counts >= _FEWEST)
    middles = np.exp(low + (high - low) * (told + 0.5) / bins)
    return tuple(middles.tolist()), tuple((sums[told] / counts[told]).tolist())


def cumulative_share(
    values: NDArray[Any], limits: tuple[float, float], *, points: int = 120
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the share of the finite values that are at most x, for x evenly spaced in log x.

    Parameters
    ----------
    values : 1-D array
        A sample.
    limits : (float, float)
        First and last x.
    points : int
        How many.

    Returns
    -------
    x, share : tuple of float
        Empty where no value is finite.
    """
    sample = np.sort(values[np.isfinite(values)])
    if not sample.size:
        return (), ()
    x = np.geomspace(*limits, points)
    share = np.searchsorted(sample, x, side="right") / sample.size
    return tuple(x.tolist()), tuple(share.tolist())
