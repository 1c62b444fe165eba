"""Optical ghosts (GHOST): images of the pupil, by reflections of a bright star."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.options import Options
from astroclean.simulate.contaminants.layers import add_layer
from astroclean.simulate.draws import Range, log_uniform, uniform, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GhostRange", "add_ghosts"]

_STRUTS = 4


class GhostRange(Options):
    """What ghosts are drawn from."""

    count: tuple[int, int] = (1, 3)
    radius: Range = (12.0, 90.0)
    """Pixels."""
    hole: Range = (0.2, 0.5)
    """Radius of the hole over that of the ghost."""
    brightness: Range = (0.6, 8.0)
    """Standard deviations of empty sky."""
    threshold: float = 0.5
    """Standard deviations of a pixel without it above which it is true GHOST."""


def add_ghosts(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    noise: float,
    limits: GhostRange | None = None,
) -> NDArray[np.uint32]:
    """Add rings of light, crossed by the shadows of struts, with an uneven brightness.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons; changed.
    rng : Generator
        Source of chance.
    noise : float
        Standard deviation of empty sky, electrons.
    limits : GhostRange, optional
        Sizes and brightness.

    Returns
    -------
    (ny, nx) uint32
        GHOST where the light exceeds ``limits.threshold`` times the noise.
    """
    limits = limits or GhostRange()
    layer = np.zeros(image.shape)
    for _ in range(whole(rng, limits.count)):
        light = log_uniform(rng, limits.brightness) * noise
        layer += light * _ring(rng, (image.shape[0], image.shape[1]), limits)
    return add_layer(image, layer, MaskPlane.GHOST, noise=noise, threshold=limits.threshold)


def _ring(
    rng: np.random.Generator, shape: tuple[int, int], limits: GhostRange
) -> NDArray[np.float64]:
    ny, nx = shape
    radius, hole = log_uniform(rng, limits.radius), uniform(rng, limits.hole)
    cy, cx = rng.uniform(-0.1, 1.1) * ny, rng.uniform(-0.1, 1.1) * nx
    y, x = (np.arange(ny)[:, None] - cy) / radius, (np.arange(nx)[None, :] - cx) / radius
    # The hole is shifted where the reflection is oblique; edges are softened by the seeing.
    dy, dx = rng.normal(0, 0.06, 2)
    soft = uniform(rng, (0.8, 3.0)) / radius
    outer = _inside(1 - np.hypot(y, x), soft)
    inner = _inside(hole - np.hypot(y - dy, x - dx), soft)
    ring = outer * (1 - inner) * (1 + uniform(rng, (0, 0.5)) * (x * dx + y * dy) / 0.1)
    turn = uniform(rng, (0, np.pi / 2))
    for strut in range(_STRUTS // 2):
        angle = turn + strut * np.pi / 2
        ring = ring * (
            1 - 0.6 * _inside(0.03 - np.abs(x * np.sin(angle) - y * np.cos(angle)), soft / 2)
        )
    return np.asarray(np.clip(ring, 0, None))


def _inside(distance: NDArray[np.float64], soft: float) -> NDArray[np.float64]:
    """Return 1 inside, 0 outside, with an edge of this softness that ends."""
    step = np.clip(0.5 + distance / (2 * soft), 0, 1)
    return np.asarray(step * step * (3 - 2 * step))
