"""Probabilities of mask planes in a report: which pixels are above which threshold, how many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.io.scratch.rowstore import blocks_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["THRESHOLDS", "chance_levels", "count_above", "counts_above"]

_ENDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03)
THRESHOLDS: tuple[float, ...] = (
    *_ENDS,
    *(round(0.05 + 0.025 * n, 3) for n in range(37)),
    *(round(1 - end, 3) for end in reversed(_ENDS)),
)
"""Those that the slider of a page stops at, rising. More would make its pictures larger."""

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


def count_above(probability: Any, threshold: float) -> int:
    """Return how many pixels of an image or `RowStore` are above any threshold."""
    return sum(
        int(np.count_nonzero(rows > rows.dtype.type(threshold)))
        for (rows,) in blocks_of(probability)
    )
