"""Images of a point source: checks, width and centre."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.errors import PsfError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "FINER",
    "FWHM_PER_SIGMA",
    "WELL_SAMPLED",
    "centred_stamp",
    "checked_fine",
    "checked_stamp",
    "core_centroid",
    "finer_stamp",
    "half_maximum_width",
    "sampled_stamp",
]

FWHM_PER_SIGMA = 2.3548200450309493  # 2 sqrt(2 ln 2)
FINER = 4
"""Samples of a fine image along one pixel: cubic splines between them err by a few millionths of
the peak of a PSF of 3 pixels; between its pixels they err by a thousand times that."""
WELL_SAMPLED = 1.8
"""FWHM in pixels from which a PSF has next to nothing beyond what its pixels tell."""


def checked_stamp(stamp: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a stamp scaled to sum 1, or raise PsfError: finite, odd, positive, peak centred."""
    ky, kx = stamp.shape
    if not np.isfinite(stamp).all():
        raise PsfError(
            "PSF stamp has pixels that are not finite",
            received=f"{np.count_nonzero(~np.isfinite(stamp))} of {stamp.size}",
        )
    if ky % 2 == 0 or kx % 2 == 0:
        raise PsfError(
            "sides of a PSF stamp must be odd, so that it has a central pixel",
            received=stamp.shape,
            remedy="Use Psf.resampled, which recentres it.",
        )
    total = stamp.sum()
    if not total > 0:
        raise PsfError("PSF stamp must have a positive sum", received=total)
    py, px = np.unravel_index(np.argmax(stamp), stamp.shape)
    if abs(int(py) - ky // 2) > 1 or abs(int(px) - kx // 2) > 1:
        raise PsfError(
            f"peak of the PSF stamp must lie at its centre (y, x) = ({ky // 2}, {kx // 2})",
            received=f"({py}, {px})",
            remedy="Use Psf.resampled, which recentres it.",
        )
    normalized: NDArray[np.float64] = stamp / total
    return normalized


_REACH = 12
"""Pixels around the half maximum that its width depends on."""


def half_maximum_width(stamp: NDArray[np.float64]) -> float:
    """Return the diameter, in pixels, of the circle with the area above half maximum."""
    from scipy.ndimage import zoom  # noqa: PLC0415 - slow to import

    factor = 5
    lit = stamp >= stamp.max() / 2
    box = []
    for axis in (1, 0):
        lines = np.flatnonzero(lit.any(axis=axis))
        # So far from the edge a spline does not feel it any more.
        box.append(slice(max(lines[0] - _REACH, 0), lines[-1] + _REACH + 1))
    fine = zoom(stamp[tuple(box)], factor, order=3, grid_mode=True, mode="grid-constant")
    area = np.count_nonzero(fine >= fine.max() / 2) / factor**2
    return float(2 * np.sqrt(area / np.pi))


def core_centroid(array: NDArray[np.float64]) -> tuple[float, float]:
    """Return the windowed centroid (y, x) of the peak, as SExtractor's XWIN and YWIN.

    A centroid of the pixels above half maximum alone is drawn to the pixel grid by a fifth of a
    pixel; the window, as wide as the core, has no edge that could do so.
    """
    from scipy.ndimage import center_of_mass, label  # noqa: PLC0415 - slow to import

    labels, _ = label(array >= array.max() / 2)
    core = labels == labels.flat[int(np.argmax(array))]
    y0, x0 = center_of_mass(array * core)
    sigma = max(2 * np.sqrt(core.sum() / np.pi) / FWHM_PER_SIGMA, 0.6)
    y, x = np.indices(array.shape)
    for _ in range(50):
        weighted = array * np.exp(-((y - y0) ** 2 + (x - x0) ** 2) / (2 * sigma**2))
        total = weighted.sum()
        dy, dx = 2 * np.sum(weighted * (y - y0)) / total, 2 * np.sum(weighted * (x - x0)) / total
        y0, x0 = y0 + dy, x0 + dx
        if abs(dy) + abs(dx) < 1e-4:  # noqa: PLR2004 - pixels
            break
    return float(y0), float(x0)


def centred_stamp(image: NDArray[np.float64], center: tuple[float, float]) -> NDArray[np.float64]:
    """Return an image moved so that a place in it is the middle of a central pixel.

    Pixels stay as large as they are: nothing is integrated again.

    Parameters
    ----------
    image : (my, mx) float64
        Image of a point source. Not modified.
    center : (float, float)
        y, x of the source.

    Returns
    -------
    (k, k) float64
        The largest square about the source that the image covers; k is odd.
    """
    from scipy.ndimage import shift  # noqa: PLC0415 - slow to import

    row, column = (round(place) for place in center)
    half = min(row, column, image.shape[0] - 1 - row, image.shape[1] - 1 - column)
    moved = shift(image, (row - center[0], column - center[1]), order=5, mode="nearest")
    square = moved[row - half : row + half + 1, column - half : column + half + 1]
    return np.ascontiguousarray(square)


def finer_stamp(stamp: NDArray[np.float64], factor: int = FINER) -> NDArray[np.float64]:
    """Return a stamp interpolated by its Fourier series; the first and last pixels stay so.

    That is exact for a PSF that is sampled well.

    Parameters
    ----------
    stamp : (ky, kx) float64
        Image of a point source. Not modified.
    factor : int
        New samples along one pixel.

    Returns
    -------
    (factor (ky - 1) + 1, factor (kx - 1) + 1) float64
        Brightness per pixel of the stamp, at finer places.
    """
    from scipy.signal import resample  # noqa: PLC0415 - slow to import

    fine = stamp
    for axis in (0, 1):
        side = stamp.shape[axis]
        pads = [(1, 1) if a == axis else (0, 0) for a in (0, 1)]  # the series is periodic
        fine = resample(np.pad(fine, pads), factor * (side + 2), axis=axis)
        kept = slice(factor, factor * side + 1)
        fine = fine[kept] if axis == 0 else fine[:, kept]
    return np.ascontiguousarray(fine)


def sampled_stamp(
    image: NDArray[np.float64], center: tuple[float, float], scale: float
) -> NDArray[np.float64]:
    """Return an image on finer pixels as those of a frame see it, at steps of a fraction of them.

    Parameters
    ----------
    image : (my, mx) float64
        Image of a point source. Not modified.
    center : (float, float)
        y, x of the source.
    scale : float
        Size of the frame's pixel in pixels of the image.

    Returns
    -------
    (FINER (k - 1) + 1, FINER (k - 1) + 1) float64
        Integrals over the frame's pixels, each a `FINER`-th of a pixel from the next, about the
        source; k is odd. Every `FINER`-th is a pixel of the stamp.
    """
    from scipy.ndimage import map_coordinates  # noqa: PLC0415 - slow to import

    y0, x0 = center
    reach = min(y0, x0, image.shape[0] - 1 - y0, image.shape[1] - 1 - x0)
    half = max(int(reach / scale - 0.5), 0)
    # Each step is the mean of points in the middle of its parts.
    parts = max(int(np.ceil(scale / FINER)), 2)
    points = (np.arange((2 * half + 1) * FINER * parts) + 0.5) / (FINER * parts) - half - 0.5
    grid = np.meshgrid(y0 + points * scale, x0 + points * scale, indexing="ij")
    fine: NDArray[np.float64] = map_coordinates(image, grid, order=3, mode="constant")
    for axis in (0, 1):
        total = np.cumsum(np.insert(fine, 0, 0, axis=axis), axis=axis).swapaxes(0, axis)
        means = (total[FINER * parts :] - total[: -FINER * parts])[::parts] / (FINER * parts)
        fine = means.swapaxes(0, axis)
    return np.ascontiguousarray(fine)


def checked_fine(fine: Any, stamps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return fine images, each scaled as its stamp is.

    Parameters
    ----------
    fine : (n, FINER (ky - 1) + 1, FINER (kx - 1) + 1) array_like
        One for each stamp.
    stamps : (n, ky, kx) float64
        As they were given.

    Raises
    ------
    PsfError
        The shape does not fit, or a value is not finite.
    """
    array = np.asarray(fine, dtype=np.float64)
    array = array[np.newaxis] if array.ndim == stamps.ndim - 1 else array
    count, ky, kx = stamps.shape
    wanted = (count, FINER * (ky - 1) + 1, FINER * (kx - 1) + 1)
    if array.shape != wanted or not np.isfinite(array).all():
        raise PsfError(f"fine images must be finite, of shape {wanted}", received=array.shape)
    return np.asarray(array / stamps.sum(axis=(1, 2), keepdims=True))
