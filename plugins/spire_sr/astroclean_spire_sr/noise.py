"""Noise of a map that does not tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["map_noise"]

_KERNEL = np.array([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]]) / 6
"""Immerkaer (1996, Computer Vision and Image Understanding 64, 300): blind to what a plane or an
edge along the axes does, and nearly so to a beam of three pixels."""


def map_noise(image: NDArray[np.floating]) -> float:
    """Return the standard deviation of white noise in a map of a sky through a beam.

    Parameters
    ----------
    image : (ny, nx) float
        NaN where not known.

    Returns
    -------
    float
        In the unit of the image; NaN where fewer than 100 pixels tell it.
    """
    from scipy.ndimage import convolve  # noqa: PLC0415 - heavy

    seen = convolve(np.asarray(image, dtype=np.float64), _KERNEL, mode="reflect")
    seen = seen[np.isfinite(seen)]
    if seen.size < 100:  # noqa: PLR2004 - too few to tell a scatter
        return float("nan")
    return float(1.4826 * np.median(np.abs(seen - np.median(seen))))
