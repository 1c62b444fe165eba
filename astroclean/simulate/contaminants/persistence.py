"""Persistence (PERSISTENCE): the afterglow of stars that saturated in an earlier exposure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.options import Options
from astroclean.simulate.contaminants.layers import add_layer
from astroclean.simulate.draws import Range, log_uniform, uniform, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PersistenceRange", "add_persistence", "fermi_charge"]


class PersistenceRange(Options):
    """What persistence is drawn from: the Fermi model of Long et al. (2015)."""

    stars: tuple[int, int] = (1, 5)
    """Saturated stars of the earlier exposure."""
    radius: Range = (3.0, 22.0)
    """Of the region that was saturated, pixels."""
    well: Range = (7e4, 1.1e5)
    """x0: charge at which half of the traps fill, electrons."""
    spread: Range = (0.08, 0.25)
    """dx / x0."""
    alpha: Range = (0.10, 0.25)
    """Exponent of the rise with charge beyond the well."""
    decay: Range = (0.7, 1.3)
    """Exponent of the decay with time."""
    delay: Range = (30.0, 600.0)
    """Seconds since the earlier exposure."""
    exposure: Range = (60.0, 600.0)
    """Seconds."""
    peak: Range = (1.5, 15.0)
    """Brightest persistence in standard deviations of empty sky (the paper has 5)."""
    threshold: float = 1.0
    """Standard deviations of a pixel without it above which it is true PERSISTENCE."""


def fermi_charge(
    charge: NDArray[np.float64],
    *,
    well: tuple[float, float],
    alpha: float,
    decay: float,
    times: tuple[float, float],
) -> NDArray[np.float64]:
    """Return the electrons released during an exposure, up to a factor.

    Parameters
    ----------
    charge : (ny, nx) float64
        Electrons of the earlier exposure.
    well : (float, float)
        x0 and dx in electrons.
    alpha, decay : float
        Exponents of charge and time; time in units of 1000 s.
    times : (float, float)
        Begin and end of the exposure in seconds after the earlier one.

    Returns
    -------
    (ny, nx) float64
        Integral over time of the Fermi model.
    """
    x0, dx = well
    level = 1 / (1 + np.exp(np.clip((x0 - charge) / dx, -60, 60))) * (charge / x0) ** alpha
    begin, end = (t / 1000 for t in times)
    power = 1 - decay
    # Where the exponent is 1, the integral is a logarithm.
    span = np.log(end / begin) if abs(power) < 1e-6 else (end**power - begin**power) / power  # noqa: PLR2004
    return np.asarray(level * span)


def add_persistence(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    noise: float,
    limits: PersistenceRange | None = None,
) -> NDArray[np.uint32]:
    """Add the afterglow of saturated stars.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons; changed.
    rng : Generator
        Source of chance.
    noise : float
        Standard deviation of empty sky, electrons.
    limits : PersistenceRange, optional
        Numbers, sizes and the model's parameters.

    Returns
    -------
    (ny, nx) uint32
        PERSISTENCE where it exceeds ``limits.threshold`` times the noise.
    """
    limits = limits or PersistenceRange()
    x0 = uniform(rng, limits.well)
    charge = _earlier(rng, (image.shape[0], image.shape[1]), x0, limits)
    delay = log_uniform(rng, limits.delay)
    glow = fermi_charge(
        charge,
        well=(x0, uniform(rng, limits.spread) * x0),
        alpha=uniform(rng, limits.alpha),
        decay=uniform(rng, limits.decay),
        times=(delay, delay + log_uniform(rng, limits.exposure)),
    )
    glow *= log_uniform(rng, limits.peak) * noise / max(glow.max(), 1e-12)
    # Beyond a hundredth of a sigma it is no contamination but arithmetic.
    glow[glow < 0.01 * noise] = 0
    return add_layer(image, glow, MaskPlane.PERSISTENCE, noise=noise, threshold=limits.threshold)


def _earlier(
    rng: np.random.Generator, shape: tuple[int, int], x0: float, limits: PersistenceRange
) -> NDArray[np.float64]:
    """Return the charge of the earlier exposure: saturated stars with bleeding along columns."""
    ny, nx = shape
    charge = np.zeros(shape)
    y, x = np.ogrid[:ny, :nx]
    for _ in range(whole(rng, limits.stars)):
        cy, cx = rng.uniform(0, ny), rng.uniform(0, nx)
        radius = log_uniform(rng, limits.radius)
        r = np.hypot(y - cy, x - cx) / radius
        star = 1.6 * x0 / (0.6 + r**3)
        if rng.random() < 0.3:  # noqa: PLR2004 - detectors with charge that bleeds
            inside = np.abs(x - cx) < max(radius / 5, 1)
            star = np.maximum(star, 1.8 * x0 * (inside & (np.abs(y - cy) < 3 * radius)))
        charge = np.maximum(charge, np.minimum(star, 2 * x0))
    return charge
