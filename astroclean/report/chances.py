"""Probabilities of mask planes in a report: which pixels are above which threshold, how many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.io.scratch.rowstore import blocks_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["THRESHOLDS", "chance_levels", "counts_above"]

THRESHOLDS: tuple[float, ...] = (
    *(0.001, 0.002, 0.005),
    *(round(0.01 * n, 2) for n in range(1, 100)),
    *(0.995, 0.998, 0.999),
)
"""Those that the slider of a page stops at, rising."""

_EDGES = np.array(THRESHOLDS)


def chance_levels(probability: NDArray[Any]) -> NDArray[np.uint8]:
    """Return above how many of the thresholds each pixel is.

    Parameters
    ----------
    probability : array
        0 to 1. Not modified. NaN is above none.

    Returns
    -------
    uint8 array of the same shape
        0 to ``len(THRESHOLDS)``: a pixel with n is above ``THRESHOLDS[k]`` where ``n > k``.
    """
    values = np.asarray(probability)
    edges = _EDGES.astype(values.dtype)  # as stages compare, which keep the type of their network
    levels = np.searchsorted(edges, values, side="left")
    return np.where(np.isnan(values), 0, levels).astype(np.uint8)


def counts_above(probability: Any) -> list[int]:
    """Return how many pixels are above each of the thresholds.

    Parameters
    ----------
    probability : (ny, nx) array or RowStore
        0 to 1. Not modified.

    Returns
    -------
    list of int
        As many as there are thresholds, falling.
    """
    found = np.zeros(len(THRESHOLDS) + 1, dtype=np.int64)
    for (rows,) in blocks_of(probability):
        found += np.bincount(chance_levels(rows).ravel(), minlength=found.size)
    return [int(n) for n in found[::-1].cumsum()[-2::-1]]
