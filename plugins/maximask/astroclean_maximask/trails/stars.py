"""How wide stars are: no trail is sharper than the optics, and dashes are no wider."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean_maximask.track.average_star import around_peaks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean_maximask.trails.maps import Sky

__all__ = ["star_fwhm"]

_STARS = 512
"""Half of the side of the part of a frame whose stars tell their width."""
_STAR_REACH = 16
"""Pixels around a star in which its width is looked for."""
_REACH = 20
"""Pixels on each side of a star that are kept."""
_SIDE = 2 * _REACH + 1


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
    star = around_peaks(light, _REACH)
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
