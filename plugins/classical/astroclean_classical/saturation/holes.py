"""Holes in saturated cores: values that wrapped around, or were taken out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["small_holes"]


def small_holes(saturated: NDArray[np.bool_], max_area: int) -> NDArray[np.bool_]:
    """Return the groups of at most ``max_area`` pixels that saturated ones enclose."""
    from scipy.ndimage import binary_fill_holes, label  # noqa: PLC0415 - heavy

    labels, _ = label(binary_fill_holes(saturated) & ~saturated)
    small = np.bincount(labels.ravel()) <= max_area
    small[0] = False
    holes: NDArray[np.bool_] = small[labels]
    return holes
