"""Interstellar clouds: log-normal power-law fields and filaments, of mean 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.stage.options import Options
from astroclean.simulate.draws import Range, log_uniform, power_law_field, uniform, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CloudRange", "draw_cloud"]


class CloudRange(Options):
    """What clouds are drawn from."""

    index: Range = (-3.6, -2.7)
    """Exponent of the power spectrum (Miville-Deschenes et al. 2007 find about -2.9)."""
    contrast: Range = (0.2, 0.8)
    """Standard deviation of the logarithm."""
    filaments: tuple[int, int] = (0, 5)
    width: Range = (6.0, 25.0)
    """Full width at half maximum of a filament in pixels."""
    crest: Range = (0.2, 1.2)
    """Brightness of a filament's crest over the mean of the field."""


def draw_cloud(
    rng: np.random.Generator, shape: tuple[int, int], limits: CloudRange | None = None
) -> NDArray[np.float64]:
    """Draw a cloud.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.
    limits : CloudRange, optional
        Slopes, contrasts and filaments.

    Returns
    -------
    (ny, nx) float64
        Positive, of mean 1.
    """
    limits = limits or CloudRange()
    field = power_law_field(rng, shape, index=uniform(rng, limits.index))
    cloud = np.exp(uniform(rng, limits.contrast) * field)
    cloud /= cloud.mean()
    for _ in range(whole(rng, limits.filaments)):
        crest = log_uniform(rng, limits.crest)
        # Filaments are as ragged as the cloud around them.
        texture = np.exp(0.5 * power_law_field(rng, shape, index=-2.8))
        cloud += crest * texture * _filament(rng, shape, log_uniform(rng, limits.width))
    return np.asarray(cloud / cloud.mean())


def _filament(
    rng: np.random.Generator, shape: tuple[int, int], width: float
) -> NDArray[np.float64]:
    """Return a curved ridge with the profile of Arzoumanian et al. (2011), 1 on its crest."""
    ny, nx = shape
    angle = uniform(rng, (0, np.pi))
    y, x = np.ogrid[:ny, :nx]
    cy, cx = rng.uniform(0, ny), rng.uniform(0, nx)
    along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
    reach = float(np.hypot(ny, nx))
    knots = np.arange(-reach, reach)
    across = across - np.interp(along, knots, _meander(rng, knots, reach))
    bright = np.exp(0.4 * _meander(rng, knots, reach) / (0.06 * reach))
    ends = 1 / (1 + np.exp((np.abs(knots) - uniform(rng, (0.15, 0.8)) * reach) / (0.05 * reach)))
    # A Plummer-like profile of exponent 2: its wings fall as the distance to the power -1.
    profile = 1 / np.sqrt(1 + 3 * (2 * across / width) ** 2)
    return np.asarray(profile * np.interp(along, knots, bright * ends))


def _meander(
    rng: np.random.Generator, knots: NDArray[np.float64], reach: float
) -> NDArray[np.float64]:
    """Return a smooth curve of some waves, a tenth of the frame wide."""
    curve = np.zeros(knots.size)
    for wave in range(1, 12):
        phase = uniform(rng, (0, 2 * np.pi))
        curve += rng.normal(0, 0.06 * reach / wave**1.5) * np.sin(
            wave * np.pi * knots / reach + phase
        )
    return curve
