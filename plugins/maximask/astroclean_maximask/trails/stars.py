"""How wide stars are: no trail is sharper than the optics, and dashes are no wider."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.frame import Frame
    from astroclean_maximask.trails.maps import Sky

__all__ = ["star_fwhm"]

_STARS = 512
"""Half of the side of the part of a frame whose stars tell their width."""
_STAR_REACH = 16
"""Pixels around a star in which its width is looked for."""
_REACH = 20
"""Pixels on each side of a star that are kept."""
_SIDE = 2 * _REACH + 1
_PEAK = 5.0
"""Least mean of 3 x 3 pixels around a peak, in units of the noise of one pixel."""
_SHARPEST = 0.25
"""Least part of its highest pixel that the mean around a peak has: 0.3 for stars with an FWHM of
1.5 pixels, 0.11 and 0.22 for charge in one pixel or two."""
_APART = 7
"""No two peaks in a box of this side."""
_MOST = 80
"""Peaks, the brightest, whose surroundings are averaged."""


def star_fwhm(frame: Frame, sky: Sky) -> float:
    """Return the full width at half maximum of stars in pixels, 0 where nothing tells it.

    Parameters
    ----------
    frame : Frame
        Its PSF tells where it has one; else its stars, in the middle of the frame.
    sky : Sky
        Of the frame.

    Returns
    -------
    float
        Pixels.
    """
    if frame.psf is not None:
        return float(frame.psf.fwhm_pixels)
    ny, nx = sky.shape
    if min(ny, nx) < _SIDE:
        return 0.0
    rows, columns = (slice(max(n // 2 - _STARS, 0), n // 2 + _STARS) for n in (ny, nx))
    y, x = np.mgrid[rows, columns]
    light = np.nan_to_num(sky.light(y, x, compact=True), posinf=0, neginf=0)
    star = _around_peaks(light)
    return _narrowest(star) if star.max() > 0 else 0.0


def _narrowest(star: NDArray[np.floating]) -> float:
    """Return the full width of an image about its middle, in the direction in which it is least.

    Where a frame has hardly any stars, the peaks may be those of a trail: its width is that across.
    """
    middle = _SIDE // 2
    reach = np.arange(-_STAR_REACH, _STAR_REACH + 0.25, 0.25)
    widths = []
    for angle in np.arange(0, np.pi, np.pi / 8):
        rows = np.rint(middle + reach * np.sin(angle)).astype(int)
        columns = np.rint(middle + reach * np.cos(angle)).astype(int)
        light = star[rows, columns]
        below = np.flatnonzero(light < 0.5 * star[middle, middle])
        left, right = below[below < len(reach) // 2], below[below > len(reach) // 2]
        if len(left) and len(right):
            widths.append(float(reach[right[0]] - reach[left[-1]]))
    return min(widths, default=0.0)


def _around_peaks(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the median surroundings of the brightest peaks, which is what a star looks like.

    Parameters
    ----------
    pixels : (ny, nx) float32
        Sky-subtracted values in units of the noise. Not modified.

    Returns
    -------
    (41, 41) float64
        About 1 in the middle, or 0 everywhere where no peak is found. New.
    """
    from scipy.ndimage import maximum_filter, uniform_filter  # noqa: PLC0415 - heavy

    smooth = uniform_filter(pixels, 3)
    is_peak = (smooth == maximum_filter(smooth, _APART)) & (smooth > _PEAK)
    peaks = np.argwhere(is_peak & (smooth > _SHARPEST * maximum_filter(pixels, 3)))
    if not len(peaks):
        return np.zeros((_SIDE, _SIDE))
    heights = smooth[tuple(peaks.T)]
    chosen = np.argsort(-heights, kind="stable")[:_MOST]
    padded = np.pad(pixels, _REACH, mode="constant", constant_values=np.nan)
    stamps = np.empty((chosen.size, _SIDE, _SIDE), dtype=np.float32)
    for place, index in enumerate(chosen):
        y, x = peaks[index]
        stamps[place] = padded[y : y + _SIDE, x : x + _SIDE] / heights[index]
    missing = np.isnan(stamps).all(axis=0)
    stamps[:, missing] = 0
    return np.asarray(np.nanmedian(stamps, axis=0), dtype=np.float64)
