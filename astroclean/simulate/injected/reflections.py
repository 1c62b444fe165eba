"""Reflections (GHOST): images of the pupil far out of focus, vignetted where they are oblique."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.simulate.draws import add_stamp, log_uniform, uniform, whole
from astroclean.simulate.injected.pupils import Pupil, shadow

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["draw_reflections"]

_SAMPLES = 192
"""Pixels of a side of the pupil's picture."""


def draw_reflections(
    rng: np.random.Generator, shape: tuple[int, int], pupil: Pupil
) -> NDArray[np.float64]:
    """Draw one to three reflections of a star that may be off the frame.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.
    pupil : Pupil
        Of the telescope.

    Returns
    -------
    (ny, nx) float64
        In units of the noise of the sky.
    """
    from scipy.ndimage import gaussian_filter, zoom  # noqa: PLC0415 - slow to import

    light = np.zeros(shape)
    star = rng.uniform(-0.3, 1.3, 2) * shape
    axis = rng.uniform(0.2, 0.8, 2) * shape
    wide = Pupil(pupil.vanes, 2.5 * pupil.thickness, pupil.hole, pupil.offset)
    for _ in range(whole(rng, (1, 3))):
        radius = log_uniform(rng, (12, 100))
        picture = shadow(wide, _SAMPLES, radius=_SAMPLES / 2 - 6)
        # Reflections lie on the line through the star and the optical axis.
        middle = axis + (axis - star) * uniform(rng, (-0.9, 1.2))
        oblique = (middle - axis) / max(shape)
        lit = picture * _vignette(oblique, uniform(rng, (0.3, 1.5))) * _uneven(rng)
        seen = zoom(lit, 2 * radius / (_SAMPLES - 12), order=1)
        seen = np.pad(gaussian_filter(np.pad(seen, 6), log_uniform(rng, (0.6, 3))), 2)
        seen *= log_uniform(rng, (0.6, 8)) / max(float(np.quantile(seen, 0.99)), 1e-9)
        top = np.round(middle - np.array(seen.shape) / 2).astype(int)
        add_stamp(light, seen, int(top[0]), int(top[1]))
    return light


def _vignette(oblique: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    """Return what a second stop, displaced by the angle of the light, lets pass."""
    y, x = np.ogrid[:_SAMPLES, :_SAMPLES]
    shift = np.clip(oblique * strength, -0.6, 0.6) * _SAMPLES / 2
    r = np.hypot(y - _SAMPLES / 2 - shift[0], x - _SAMPLES / 2 - shift[1])
    return np.asarray(np.clip((_SAMPLES / 2 - r) / 4, 0, 1))


def _uneven(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a gradient: reflecting layers do not reflect alike everywhere."""
    y, x = np.ogrid[-1 : 1 : _SAMPLES * 1j, -1 : 1 : _SAMPLES * 1j]
    angle = uniform(rng, (0, 2 * np.pi))
    return np.asarray(1 + uniform(rng, (0, 0.5)) * (x * np.cos(angle) + y * np.sin(angle)))
