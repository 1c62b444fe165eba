"""Measures of images on finer pixels: brought to one grid, errors, sources, and their light."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.grid import Grid

__all__ = ["aperture_sums", "find_peaks", "moved", "on_grid", "rms"]

_THRESHOLD = 5.0


def moved(places: NDArray[np.float64], grid: Grid, target: Grid) -> NDArray[np.float64]:
    """Return places of one grid in the pixels of another grid of the same frame.

    Parameters
    ----------
    places : (n, 2) float64
        x, y in pixels of ``grid``.
    grid, target : Grid
        Of one frame.

    Returns
    -------
    (n, 2) float64
        x, y in pixels of ``target``.
    """
    of_frame = np.array(grid.origin[::-1]) + (places + 0.5) * grid.step
    return np.asarray((of_frame - np.array(target.origin[::-1])) / target.step - 0.5)


def on_grid(
    image: NDArray[Any], grid: Grid, target: Grid, *, order: int = 3
) -> NDArray[np.float64]:
    """Return an image on other pixels of the same frame, of the same flux for an area.

    Parameters
    ----------
    image : array of the shape of ``grid``
        Light of each pixel.
    grid, target : Grid
        Of one frame.
    order : int
        Of the splines between pixels; 0 takes the nearest.

    Returns
    -------
    array of the shape of ``target``
        The same values where both grids are the same; NaN where the image is, and beyond it.
    """
    values = np.asarray(image, dtype=np.float64)
    if (grid.shape, grid.origin, grid.step) == (target.shape, target.origin, target.step):
        return values
    from scipy.ndimage import map_coordinates  # noqa: PLC0415 - slow to import

    axes = []
    for axis in (0, 1):
        line = np.zeros((target.shape[axis], 2))
        line[:, 1 - axis] = np.arange(target.shape[axis])
        axes.append(moved(line, target, grid)[:, 1 - axis])
    places = np.meshgrid(*axes, indexing="ij")
    known = np.isfinite(values)
    seen = map_coordinates(np.where(known, values, 0), places, order=order, mode="nearest")
    seen *= (target.step / grid.step) ** 2
    ends = zip(places, grid.shape, strict=True)
    inside = np.logical_and.reduce([(p > -0.5) & (p < n - 0.5) for p, n in ends])  # noqa: PLR2004
    near = map_coordinates(known.astype(np.uint8), places, order=0, mode="nearest")
    return np.where(inside & (near > 0), seen, np.nan)


def rms(errors: NDArray[Any], where: NDArray[np.bool_] | None = None) -> float:
    """Return the root mean square of the finite values; NaN where there is none."""
    used = np.isfinite(errors) if where is None else np.isfinite(errors) & where
    return float(np.sqrt(np.mean(errors[used] ** 2))) if used.any() else float("nan")


def find_peaks(image: NDArray[np.float64], *, fwhm: float, noise: float) -> NDArray[np.float64]:
    """Return (n, 2): x, y of the peaks that stand five times the scatter above the median.

    Parameters
    ----------
    image : (ny, nx) float64
        Pixels that are not finite are left out.
    fwhm : float
        Of the PSF in pixels; no two peaks are nearer to each other along an axis.
    noise : float
        Least scatter to believe: an image without any has peaks in its rounding errors.
    """
    from astropy.stats import mad_std  # noqa: PLC0415 - heavy
    from photutils.centroids import centroid_quadratic  # noqa: PLC0415 - slow to import
    from photutils.detection import find_peaks as of_image  # noqa: PLC0415 - same

    known = np.isfinite(image)
    if not known.any():
        return np.empty((0, 2))
    level = float(np.median(image[known]))
    scatter = max(float(mad_std(image[known])), noise)
    box = 2 * max(round(fwhm), 1) + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no peak; a peak at the border keeps its pixel
        found = of_image(
            np.where(known, image, level),
            level + _THRESHOLD * scatter,
            box_size=box,
            mask=~known,
            centroid_func=centroid_quadratic,
        )
    if found is None:
        return np.empty((0, 2))
    pixel = np.column_stack([found["x_peak"], found["y_peak"]]).astype(np.float64)
    center = np.column_stack([found["x_centroid"], found["y_centroid"]]).astype(np.float64)
    near = np.abs(center - pixel).max(axis=1, keepdims=True) <= 1
    return np.where(np.isfinite(center) & near, center, pixel)


def aperture_sums(
    image: NDArray[np.float64], places: NDArray[np.float64], *, radius: float
) -> NDArray[np.float64]:
    """Return the light in circles around places, pixels counting by the part within.

    Parameters
    ----------
    image : (ny, nx) float64
        With NaN where it is not known; the sum of a circle with one is NaN.
    places : (n, 2) float64
        x, y in pixels.
    radius : float
        Pixels.
    """
    if not len(places):
        return np.empty(0)
    from photutils.aperture import (  # noqa: PLC0415 - slow to import
        CircularAperture,
        aperture_photometry,
    )

    table = aperture_photometry(image, CircularAperture(places, radius))
    return np.asarray(table["aperture_sum"], dtype=np.float64)
