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
_SHARP = 0.2
"""Of a pixel, what those on both sides of it have at least, along rows and columns: 0.29 in a star
with an FWHM of 1.5 pixels, nothing across the track of a particle. Along diagonals its square."""
_SHARP_SIGMA = 5.0
"""Least pixel of a hit, in standard deviations."""


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
    star = around_peaks(_without_hits(light), _REACH)
    return _narrowest(star) if star.max() > 0 else 0.0


def _without_hits(light: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return an image in which pixels sharper than any star are 0.

    Where hits outnumber bright stars, their median would be taken for a star.
    """
    around = np.pad(light, 1, mode="edge")
    ny, nx = light.shape
    sharp = np.zeros(light.shape, dtype=bool)
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one = around[1 + dy : 1 + dy + ny, 1 + dx : 1 + dx + nx]
        other = around[1 - dy : 1 - dy + ny, 1 - dx : 1 - dx + nx]
        # A Gaussian falls by the square of the distance.
        sharp |= 0.5 * (one + other) < _SHARP ** (dy * dy + dx * dx) * light
    return np.where(sharp & (light > _SHARP_SIGMA), 0, light)


def _narrowest(star: NDArray[np.floating]) -> float:
    """Return the full width of an image about its middle, in the direction in which it is least.

    Where a frame has hardly any stars, the peaks may be those of a trail: its width is that across.
    """
    from scipy.ndimage import map_coordinates  # noqa: PLC0415 - heavy

    middle = _SIDE // 2
    reach = np.arange(-_STAR_REACH, _STAR_REACH + 0.25, 0.25)
    widths = []
    for angle in np.arange(0, np.pi, np.pi / 8):
        # Between the pixels: to whole ones, all widths below two pixels are one.
        places = middle + reach * np.array([[np.sin(angle)], [np.cos(angle)]])
        light = map_coordinates(star, places, order=1)
        below = np.flatnonzero(light < 0.5 * star[middle, middle])
        left, right = below[below < len(reach) // 2], below[below > len(reach) // 2]
        if len(left) and len(right):
            widths.append(float(reach[right[0]] - reach[left[-1]]))
    return min(widths, default=0.0)
