"""The pupil of a telescope, its shadow and its diffraction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.simulate.draws import log_uniform, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Pupil", "diffraction", "draw_pupil", "shadow"]

_GRID = 1024
"""Pixels of the grid on which a pupil is transformed."""
_FILL = 0.8
"""Diameter of the pupil over the side of the grid."""
_WAVES = 5


@dataclass(frozen=True)
class Pupil:
    """A round mirror, its hole, and the vanes that hold what is before it."""

    vanes: tuple[float, ...]
    """Direction of each from the middle outwards, radians."""
    thickness: float
    """Of a vane, over the diameter."""
    hole: float
    """Radius of the hole over that of the mirror."""
    offset: float = 0.0
    """Distance of a vane's line from the middle, over the radius."""


def draw_pupil(rng: np.random.Generator) -> Pupil:
    """Draw a pupil with three, four or eight vanes, that is with 6, 4 or 8 arms of diffraction."""
    count = int(rng.choice([4, 4, 4, 3, 8]))
    turn = uniform(rng, (0, 2 * np.pi))
    angles = tuple(turn + 2 * np.pi * np.arange(count) / count)
    offset = uniform(rng, (0.05, 0.25)) if rng.random() < 0.25 else 0.0  # noqa: PLR2004
    return Pupil(angles, log_uniform(rng, (0.004, 0.02)), uniform(rng, (0.15, 0.45)), offset)


def shadow(pupil: Pupil, side: int, *, radius: float, vanes: bool = True) -> NDArray[np.float32]:
    """Return the transparency of a pupil.

    Parameters
    ----------
    pupil : Pupil
        The pupil.
    side : int
        Pixels of a side of the image; the pupil is in its middle.
    radius : float
        Of the mirror, pixels.
    vanes : bool
        Whether they are there.

    Returns
    -------
    (side, side) float32
        0 to 1; edges are a pixel wide.
    """
    y, x = (np.float32(1) * (axis - side // 2) for axis in np.ogrid[:side, :side])
    r = np.hypot(y, x)
    clear = np.clip(radius - r + 0.5, 0, 1) * np.clip(r - pupil.hole * radius + 0.5, 0, 1)
    for angle in pupil.vanes if vanes else ():
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        across = y * cos - x * sin - np.float32(pupil.offset * radius)
        blocked = np.clip(np.float32(pupil.thickness * radius + 0.5) - np.abs(across), 0, 1)
        clear = clear * (1 - blocked * (x * cos + y * sin > 0))
    return np.asarray(clear, dtype=np.float32)


def diffraction(
    pupil: Pupil, half: int, *, pixels: float, band: float, seeing: float
) -> NDArray[np.float64]:
    """Return what vanes add to the image of a star of flux 1, by Fourier transforms.

    Parameters
    ----------
    pupil : Pupil
        The pupil.
    half : int
        The stamp has 2 half + 1 pixels a side.
    pixels : float
        Wavelength over diameter, in pixels.
    band : float
        Half the width of the passband over its middle: the pattern grows with wavelength.
    seeing : float
        FWHM in pixels by which the air blurs the pattern.

    Returns
    -------
    (2 half + 1, 2 half + 1) float64
        Pattern of the pupil with vanes less that without, where positive; within the pattern of
        the transform, else 0.
    """
    from scipy.fft import fft2, fftshift  # noqa: PLC0415 - slow to import
    from scipy.ndimage import gaussian_filter, map_coordinates  # noqa: PLC0415 - slow to import

    patterns = []
    for vanes in (True, False):
        field = shadow(pupil, _GRID, radius=_FILL * _GRID / 2, vanes=vanes)
        power = np.abs(fftshift(fft2(field))) ** 2
        patterns.append(power / power.sum())
    added = np.clip(patterns[0] - patterns[1], 0, None)
    offsets = np.arange(-half, half + 1)
    total = np.zeros((offsets.size, offsets.size))
    for wave in np.linspace(1 - band, 1 + band, _WAVES):
        step = _FILL * pixels * wave  # of the transform, in pixels of the detector
        places = np.meshgrid(*(_GRID // 2 + offsets / step,) * 2, indexing="ij")
        total += map_coordinates(added, places, order=1) / step**2
    return np.asarray(gaussian_filter(total / _WAVES, seeing / 2.3548))
