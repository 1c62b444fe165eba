"""Fringes (FRINGE): interference in the thin layers of a sensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.planes import MaskPlane
from astroclean.simulate.draws import Range, log_uniform, power_law_field, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FringeRange", "add_fringes"]


@dataclass(frozen=True)
class FringeRange:
    """What fringes are drawn from."""

    amplitude: Range = (0.8, 6.0)
    """Standard deviations of empty sky (the paper has 0.6 for the whole pattern's scatter)."""
    spacing: Range = (12.0, 60.0)
    """Pixels from crest to crest."""
    threshold: float = 0.5
    """Local amplitude, in standard deviations of empty sky, above which it is true FRINGE."""


def add_fringes(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    noise: float,
    limits: FringeRange | None = None,
) -> NDArray[np.uint32]:
    """Add fringes within a smooth envelope.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons; changed.
    rng : Generator
        Source of chance.
    noise : float
        Standard deviation of empty sky, electrons.
    limits : FringeRange, optional
        Amplitude and spacing.

    Returns
    -------
    (ny, nx) uint32
        FRINGE where the local amplitude, not the single value, exceeds the threshold: a pattern
        goes through zero everywhere.
    """
    limits = limits or FringeRange()
    shape = image.shape[0], image.shape[1]
    amplitude = _envelope(rng, shape) * log_uniform(rng, limits.amplitude) * noise
    image += amplitude * _pattern(rng, shape, log_uniform(rng, limits.spacing))
    return np.where(amplitude > limits.threshold * noise, np.uint32(MaskPlane.FRINGE), np.uint32(0))


def _pattern(
    rng: np.random.Generator, shape: tuple[int, int], spacing: float
) -> NDArray[np.float64]:
    """Return interference of two sky lines in a layer of uneven thickness, within -1 and 1."""
    ny, nx = shape
    angle = uniform(rng, (0, 2 * np.pi))
    y, x = np.ogrid[:ny, :nx]
    slope = uniform(rng, (0.2, 1.0)) * 2 * np.pi / spacing
    bumps = power_law_field(rng, shape, index=-5.0) * max(shape) / spacing
    phase = slope * (x * np.cos(angle) + y * np.sin(angle)) + uniform(rng, (1.5, 3.5)) * bumps
    ratio, share = uniform(rng, (1.05, 1.25)), uniform(rng, (0.0, 0.4))
    return np.asarray((1 - share) * np.cos(phase) + share * np.cos(ratio * phase))


def _envelope(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return a polynomial of third degree, flattened by a sigmoid to between 0 and 1."""
    ny, nx = shape
    y, x = np.linspace(-1, 1, ny)[:, None], np.linspace(-1, 1, nx)[None, :]
    surface = np.zeros(shape)
    for power_y in range(4):
        for power_x in range(4 - power_y):
            surface += rng.normal() * y**power_y * x**power_x
    low, high = surface.min(), surface.max()
    scaled = 10 * (surface - low) / max(high - low, 1e-12) - 5
    return np.asarray(1 / (1 + np.exp(-scaled)))
