"""Fringes (FRINGE): interference in the thin layers of a sensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.options import Options
from astroclean.simulate.draws import Range, log_uniform, power_law_field, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FringeRange", "add_fringes"]


_WEDGE = 0.6
"""Part of the patterns in a layer that is a wedge."""


class FringeRange(Options):
    """What fringes are drawn from."""

    amplitude: Range = (0.6, 8.0)
    """Standard deviations of empty sky (the paper has 0.6 for the whole pattern's scatter)."""
    spacing: Range = (8.0, 110.0)
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
    """Return interference of sky lines in a layer of uneven thickness, within -1 and 1.

    The crests are contours of the thickness: of a wedge with bumps, or of bumps alone.
    """
    ny, nx = shape
    angle = uniform(rng, (0, 2 * np.pi))
    y, x = np.ogrid[:ny, :nx]
    index = uniform(rng, (-6.0, -3.7))
    bumps = power_law_field(rng, shape, index=index) * max(shape) / spacing
    if rng.random() < _WEDGE:
        slope = uniform(rng, (0.2, 1.0)) * 2 * np.pi / spacing
        phase = slope * (x * np.cos(angle) + y * np.sin(angle)) + uniform(rng, (0.3, 3.5)) * bumps
    else:
        phase = _scaled(bumps, spacing)
    ratio, share = uniform(rng, (1.03, 1.3)), uniform(rng, (0.0, 0.5))
    finesse = max(uniform(rng, (-3.0, 4.0)), 0.0)
    return (1 - share) * _crests(phase, finesse) + share * _crests(ratio * phase, finesse)


def _scaled(bumps: NDArray[np.float64], spacing: float) -> NDArray[np.float64]:
    """Return the bumps with slopes that make crests of a spacing."""
    dy, dx = np.gradient(bumps)
    steep = float(np.quantile(np.hypot(dy, dx), 0.75))
    return np.asarray(bumps * (2 * np.pi / spacing) / max(steep, 1e-12))


def _crests(phase: NDArray[np.float64], finesse: float) -> NDArray[np.float64]:
    """Return a cosine where the finesse is 0, else Airy's function, between -1 and 1."""
    wave = np.cos(phase)
    # Airy: 1 / (1 + F sin^2(phase / 2)), spread over the same range.
    lit = 1 / (1 + finesse * (1 - wave) / 2)
    low = 1 / (1 + finesse)
    return np.asarray(wave if finesse < 0.1 else 2 * (lit - low) / (1 - low) - 1)  # noqa: PLR2004


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
