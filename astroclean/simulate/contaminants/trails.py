"""Trails (TRAIL) of satellites, tumbling or steady, and of meteors out of focus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.planes import MaskPlane
from astroclean.simulate.contaminants.layers import add_layer
from astroclean.simulate.draws import Range, log_uniform, uniform, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TrailRange", "add_trails"]

_FLARE = 0.35
_METEOR = 0.3
_ENDS = 0.15
_RAD = 206264.8


@dataclass(frozen=True)
class TrailRange:
    """What trails are drawn from."""

    count: tuple[int, int] = (1, 2)
    peak: Range = (2.0, 60.0)
    """Brightness of the ridge in standard deviations of empty sky."""
    mirror: Range = (2.0, 8.0)
    """Metres; with the distance it sets how far a meteor is out of focus."""
    distance: Range = (8e4, 1.2e5)
    """Metres."""
    pixel_scale: Range = (0.2, 0.7)
    """Arcsec."""
    jitter: float = 0.5
    """Pixels by which the air moves the ridge, standard deviation."""
    threshold: float = 1.0
    """Standard deviations of a pixel without it above which it is true TRAIL."""


def add_trails(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    noise: float,
    fwhm: float,
    limits: TrailRange | None = None,
) -> NDArray[np.uint32]:
    """Add trails that cross the frame, or end in it.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons; changed.
    rng : Generator
        Source of chance.
    noise : float
        Standard deviation of empty sky, electrons.
    fwhm : float
        Of the PSF, pixels.
    limits : TrailRange, optional
        Counts, brightness, defocus.

    Returns
    -------
    (ny, nx) uint32
        TRAIL where the light exceeds ``limits.threshold`` times the noise.
    """
    limits = limits or TrailRange()
    layer = np.zeros(image.shape)
    for _ in range(whole(rng, limits.count)):
        layer += _trail(rng, (image.shape[0], image.shape[1]), noise, fwhm, limits)
    return add_layer(image, layer, MaskPlane.TRAIL, noise=noise, threshold=limits.threshold)


def _trail(
    rng: np.random.Generator,
    shape: tuple[int, int],
    noise: float,
    fwhm: float,
    limits: TrailRange,
) -> NDArray[np.float64]:
    ny, nx = shape
    angle = uniform(rng, (0, np.pi))
    cy, cx = rng.uniform(0.1, 0.9) * ny, rng.uniform(0.1, 0.9) * nx
    y, x = np.ogrid[:ny, :nx]
    along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
    reach = float(np.hypot(ny, nx))
    knots = np.arange(-reach, reach)
    across = across - np.interp(along, knots, _wobble(rng, knots.size, limits.jitter))
    width = 0.0
    if rng.random() < _METEOR:
        blur = uniform(rng, limits.mirror) / uniform(rng, limits.distance) * _RAD
        width = blur / uniform(rng, limits.pixel_scale)
    bright = log_uniform(rng, limits.peak) * noise * _brightness(rng, knots)
    return np.asarray(_profile(across, fwhm, width) * np.interp(along, knots, bright))


def _wobble(rng: np.random.Generator, count: int, jitter: float) -> NDArray[np.float64]:
    """Return displacements that vary smoothly over some tens of pixels."""
    from scipy.ndimage import gaussian_filter1d  # noqa: PLC0415 - optional extra

    smooth = gaussian_filter1d(rng.standard_normal(count), 8.0)
    return np.asarray(smooth * jitter / max(smooth.std(), 1e-9))


def _brightness(rng: np.random.Generator, along: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the light along the ridge: steady, flaring or tumbling, sometimes with an end."""
    light = np.ones(along.size)
    chance = rng.random()
    if chance < _FLARE / 2:
        width, place = uniform(rng, (15, 120)), uniform(rng, (along[0] / 3, along[-1] / 3))
        light = 0.25 + np.exp(-0.5 * ((along - place) / width) ** 2) * uniform(rng, (0.5, 3))
    elif chance < _FLARE:
        period, phase = uniform(rng, (20, 150)), uniform(rng, (0, 2 * np.pi))
        light = 1 + uniform(rng, (0.2, 0.9)) * np.sin(2 * np.pi * along / period + phase)
    if rng.random() < _ENDS:
        place, soft = uniform(rng, (along[0] / 4, along[-1] / 4)), uniform(rng, (1, 6))
        light = light / (1 + np.exp(np.clip((along - place) / soft, -50, 50)))
    return light


def _profile(across: NDArray[np.float64], fwhm: float, pupil: float) -> NDArray[np.float64]:
    """Return the profile across a trail, 1 at its greatest.

    A star's profile for what is in focus; for a meteor, the projection of the ring of light that
    a mirror with a hole makes, blurred by the seeing.
    """
    reach = int(np.ceil(pupil / 2 + 6 * fwhm)) + 1
    step = 0.1
    r = np.arange(-reach, reach + step, step)
    sigma = fwhm / 2.3548
    core = np.exp(-0.5 * (r / sigma) ** 2) + 0.02 / (1 + (r / fwhm) ** 2) ** 1.5
    shape = core
    if pupil > fwhm / 2:
        radius, hole = pupil / 2, 0.35 * pupil / 2
        chord = np.sqrt(np.clip(radius**2 - r**2, 0, None))
        chord -= np.sqrt(np.clip(hole**2 - r**2, 0, None))
        shape = np.convolve(chord, core, mode="same")
    shape = shape / shape.max()
    return np.asarray(np.interp(across, r, shape, left=0, right=0))
