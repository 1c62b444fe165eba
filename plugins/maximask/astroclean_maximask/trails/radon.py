"""Sums along all lines of an image, by halves.

This is the fast Radon transform of Goetz and Druck (1996, Pattern Recognition 29, 711), which Nir,
Zackay and Ofek (2018, AJ 156, 229) use for streaks.

A line that crosses 2 h rows consists of two that cross h rows each, so N**2 log N additions give
the sums along all lines, and on the way those along all pieces of 32, 64, 128, ... rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["line_sums"]


def line_sums(image: NDArray[np.float32], *, shortest: int) -> Iterator[NDArray[np.float32]]:
    """Yield the sums along all lines that lean to the right by up to 45 degrees.

    Parameters
    ----------
    image : (ny, nx) float32
        Not modified. Rows are added at its end where the number is odd.
    shortest : int
        Rows of the shortest pieces that are wanted; a power of 2.

    Yields
    ------
    (k, h, nx) float32
        For h = ``shortest``, and each power of 2 up to the height of the image: element (k, s, x)
        is the sum along the line from (k h, x) to (k h + h - 1, x + s), as far as it is within the
        image.
    """
    sums = image[:, np.newaxis, :]
    height = 1
    while True:
        if height >= shortest:
            yield sums
        if sums.shape[0] == 1:
            return
        if sums.shape[0] % 2:
            sums = np.concatenate([sums, np.zeros_like(sums[:1])])
        sums = _doubled(sums[::2], sums[1::2])
        height *= 2


def _doubled(upper: NDArray[np.float32], lower: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sums along lines twice as long; ``lower`` are the rows that follow."""
    count, height, width = upper.shape
    sums = np.empty((count, 2 * height, width), dtype=np.float32)
    for shift in range(2 * height):
        half = shift // 2
        step = min(shift - half, width)
        kept = width - step
        np.add(upper[:, half, :kept], lower[:, half, step:], out=sums[:, shift, :kept])
        sums[:, shift, kept:] = upper[:, half, kept:]
    return sums
