"""For `lacosmic`: flags that no hit would leave, whatever the PSF."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SHAPES_REACH", "beside_dark_pixels", "thick_groups"]

# Tracks in the thickest detectors are four pixels wide (LSST, 100 micrometers);
# what holds a square of this side is the image of something else: saturated or blended stars.
_THICK = 5
# How far from such a square flags belong to the same object, along flagged pixels.
_STEPS = 6
_AROUND = 3
_DARK_SIGMA, _PLAIN_SIGMA = 4.0, 3.0
SHAPES_REACH = _STEPS + _THICK + 2
"""How far a pixel may be that decides on another."""


def thick_groups(hits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return flags that belong to something thicker than any track.

    Parameters
    ----------
    hits : (ny, nx) bool
        Not modified.

    Returns
    -------
    (ny, nx) bool
        New; a part of ``hits``.
    """
    from scipy.ndimage import (  # noqa: PLC0415 - heavy
        binary_closing,
        binary_dilation,
        binary_erosion,
    )

    square = np.ones((_THICK, _THICK), dtype=bool)
    plus = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)
    core = binary_erosion(binary_closing(hits, plus), square)
    if not core.any():
        return np.zeros_like(hits)
    start = binary_dilation(core, square) & hits
    grown: NDArray[np.bool_] = binary_dilation(
        start, np.ones((3, 3), dtype=bool), iterations=_STEPS, mask=hits
    )
    return grown


def beside_dark_pixels(
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    *,
    hits: NDArray[np.bool_],
    bad: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Return flags of sky pixels beside a dark one, at whose edge the Laplacian is large too.

    Parameters
    ----------
    image, variance : (ny, nx) float32
        Not modified.
    hits : (ny, nx) bool
        Flags.
    bad : (ny, nx) bool
        Pixels that are not to be read.

    Returns
    -------
    (ny, nx) bool
        New; a part of ``hits``.
    """
    beside = np.zeros_like(hits)
    y, x = np.nonzero(hits)
    if not len(y):
        return beside
    shown = np.pad(np.where(bad, np.float32(np.nan), image), _AROUND, constant_values=np.nan)
    side = 2 * _AROUND + 1
    patches = np.lib.stride_tricks.sliding_window_view(shown, (side, side))[y, x]
    around = patches.reshape(len(y), -1)
    level = _medians(around)
    noise = np.sqrt(variance[y, x])
    near = slice(_AROUND - 1, _AROUND + 2)
    inner = patches[:, near, near].reshape(len(y), -1)
    darkest = np.where(np.isnan(inner), np.inf, inner).min(axis=1)
    dark = level - darkest > _DARK_SIGMA * noise
    plain = patches[:, _AROUND, _AROUND] - level < _PLAIN_SIGMA * noise
    beside[y, x] = dark & plain
    return beside


def _medians(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the lower median of each row; NaN, of which no row is full, are left out."""
    ordered = np.sort(values, axis=1)  # NaN last
    count = np.isfinite(values).sum(axis=1)
    chosen: NDArray[np.float32] = ordered[np.arange(len(values)), np.maximum(count - 1, 0) // 2]
    return chosen
