"""For `lacosmic`: pixels of exact zeros that were never exposed, whatever their flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EMPTY_REACH", "empty_blocks"]

# So many noisy pixels in a square are not all 0, not even where half of a quantized sky is.
_SIDE = 7
EMPTY_REACH = _SIDE - 1
"""How far a pixel may be that decides on another."""


def empty_blocks(data: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where squares of exact zeros lie: beyond the coverage, between chips, at borders.

    Parameters
    ----------
    data : (ny, nx) float32
        Of a frame with a noisy sky. Not modified.

    Returns
    -------
    (ny, nx) bool
        New. At the border of the image a run of zeros is enough.
    """
    from scipy.ndimage import maximum_filter, minimum_filter  # noqa: PLC0415 - heavy

    zero = data == 0
    if np.count_nonzero(zero) < _SIDE:
        return np.zeros(data.shape, dtype=bool)
    padded = np.pad(zero, _SIDE, constant_values=True)
    whole = minimum_filter(padded, size=_SIDE, mode="nearest")
    opened = maximum_filter(whole, size=_SIDE, mode="nearest")
    inner: NDArray[np.bool_] = opened[_SIDE:-_SIDE, _SIDE:-_SIDE] & zero
    return inner
