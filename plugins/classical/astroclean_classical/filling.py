"""Fill unusable pixels from usable ones; shared by the plugins that cannot work with holes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["KERNEL_REACH", "convolution_filled", "distance_to_good", "hole_boxes", "nearest_filled"]

KERNEL_REACH = 4
"""Half width of the Gaussian kernels, in standard deviations (the choice of astropy)."""

# A pixel at distance d from the nearest good one is filled with a Gaussian whose standard
# deviation is at least d / 2, so that good pixels within the first two deviations carry it.
_DISTANCE_PER_SIGMA = 2.0


def distance_to_good(bad: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the distance of each pixel to the nearest good one.

    Parameters
    ----------
    bad : (ny, nx) bool
        Unusable pixels. Not modified.

    Returns
    -------
    (ny, nx) float64
        Pixels; 0 for good ones, infinite where the whole frame is bad.
    """
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - heavy

    if bad.all():
        return np.full(bad.shape, np.inf)
    distance: NDArray[np.float64] = distance_transform_edt(bad)
    return distance


def nearest_filled(data: NDArray[np.float32], bad: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Replace unusable pixels by the nearest usable one.

    Parameters
    ----------
    data : (ny, nx) float32
        Not modified.
    bad : (ny, nx) bool
        Pixels to replace; their values are not read.

    Returns
    -------
    (ny, nx) float32
        A new array, all zero where every pixel is bad.
    """
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - heavy

    if not bad.any():
        return data.copy()
    if bad.all():
        return np.zeros_like(data)
    nearest = distance_transform_edt(bad, return_distances=False, return_indices=True)
    return np.ascontiguousarray(data[tuple(nearest)])


def convolution_filled(
    data: NDArray[np.float32],
    *,
    holes: NDArray[np.bool_],
    bad: NDArray[np.bool_],
    sigma: float = 1.0,
) -> NDArray[np.float32]:
    """Fill holes with :func:`astropy.convolution.interpolate_replace_nans`.

    The kernel is doubled for pixels deeper in a hole, and reads measured pixels only, never ones
    that were filled.

    Parameters
    ----------
    data : (ny, nx) float32
        Not modified.
    holes : (ny, nx) bool
        Pixels to fill.
    bad : (ny, nx) bool
        Pixels not to read; the holes among them.
    sigma : float
        Standard deviation of the smallest kernel, in pixels.

    Returns
    -------
    (ny, nx) float32
        A new array. Holes without any usable pixel in reach stay as they are.
    """
    bad = bad | holes
    distance = np.where(holes, distance_to_good(bad), 0.0)
    filled = data.copy()
    blank = np.where(bad, np.float32(np.nan), data)
    level, lower = 0, 0.0
    while (todo := holes & (distance > lower) & np.isfinite(distance)).any():
        width = sigma * 2**level
        upper = _DISTANCE_PER_SIGMA * width
        _fill_level(filled, blank, todo & (distance <= upper), width)
        level, lower = level + 1, upper
    return filled


def _fill_level(
    filled: NDArray[np.float32],
    blank: NDArray[np.float32],
    todo: NDArray[np.bool_],
    width: float,
) -> None:
    """Fill pixels of about one depth, in place, in small boxes: kernels may be wide."""
    from astropy.convolution import Gaussian1DKernel  # noqa: PLC0415 - heavy

    half = math.ceil(KERNEL_REACH * width)
    kernel = Gaussian1DKernel(width, x_size=2 * half + 1).array
    for box, chosen in hole_boxes(todo, margin=half):
        values = _weighted_mean(blank[box], kernel)
        usable = chosen & np.isfinite(values)
        filled[box][usable] = values[usable]


def _weighted_mean(image: NDArray[np.float32], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of measured (not NaN) pixels around each, weighted by a Gaussian.

    What ``astropy.convolution.interpolate_replace_nans`` gives, one axis after the other: a
    kernel of 65 pixels then costs 130 products a pixel instead of 4225.
    """
    measured = np.isfinite(image)
    weight = _along_both_axes(measured.astype(float), kernel)
    total = _along_both_axes(np.where(measured, image, 0.0), kernel)
    mean: NDArray[np.float64] = np.divide(
        total, weight, out=np.full(image.shape, np.nan), where=weight > 0
    )
    return mean


def _along_both_axes(
    image: NDArray[np.float64], kernel: NDArray[np.float64]
) -> NDArray[np.float64]:
    from astropy.convolution import convolve  # noqa: PLC0415 - heavy

    settings = {"boundary": "fill", "fill_value": 0.0, "normalize_kernel": False}
    along_y = convolve(image, kernel[:, np.newaxis], nan_treatment="fill", **settings)
    both: NDArray[np.float64] = convolve(
        along_y, kernel[np.newaxis], nan_treatment="fill", **settings
    )
    return both


def hole_boxes(
    holes: NDArray[np.bool_], *, margin: int, together: bool = True
) -> Iterator[tuple[tuple[slice, slice], NDArray[np.bool_]]]:
    """Yield boxes that together hold every hole with a margin of its surroundings.

    Parameters
    ----------
    holes : (ny, nx) bool
        Not modified.
    margin : int
        Pixels around each hole.
    together : bool
        Whether one box may hold many holes, where that is less work.

    Yields
    ------
    box : tuple of slice
        Part of the frame.
    chosen : 2-D bool
        The pixels of that box which belong to its holes; each pixel occurs once.
    """
    from scipy.ndimage import find_objects, label  # noqa: PLC0415 - heavy

    labels, count = label(holes, structure=np.ones((3, 3)))
    # Thousands of small holes are cheaper together than one by one.
    if together and count and np.count_nonzero(holes) * (2 * margin + 1) ** 2 > holes.size:
        yield (slice(0, holes.shape[0]), slice(0, holes.shape[1])), holes
        return
    for index, (rows, columns) in enumerate(find_objects(labels), start=1):
        box = (
            slice(max(rows.start - margin, 0), rows.stop + margin),
            slice(max(columns.start - margin, 0), columns.stop + margin),
        )
        yield box, labels[box] == index
