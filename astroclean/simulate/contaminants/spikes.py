"""Diffraction spikes (SPIKE) of bright stars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.planes import MaskPlane
from astroclean.simulate.contaminants.layers import add_layer
from astroclean.simulate.draws import Range, log_uniform, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SpikeRange", "add_spikes"]

_BROKEN = 0.3


@dataclass(frozen=True)
class SpikeRange:
    """What spikes are drawn from."""

    arms: tuple[int, ...] = (4, 4, 4, 6, 8)
    share: Range = (0.005, 0.06)
    """Of the star's light in all arms."""
    length: Range = (40.0, 400.0)
    """Pixels at which an arm fades."""
    width: Range = (1.0, 4.0)
    """Full width at half maximum of an arm, pixels; it grows slowly outwards."""
    faintest: float = 1e4
    """Stars below this flux over the noise have none that could be seen."""
    core: float = 3.0
    """Radius, in FWHM, inside which a spike is not told from the star."""
    threshold: float = 2.0
    """Standard deviations of the pixel without spikes above which it is true SPIKE."""
    contrast: float = 0.25
    """Part of the light beneath above which it is: fainter arms are lost in their star."""


def add_spikes(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    stars: NDArray[np.float64],
    *,
    noise: float,
    fwhm: float,
    limits: SpikeRange | None = None,
) -> NDArray[np.uint32]:
    """Add spikes, of one pattern, to the bright ones among stars.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons; changed.
    rng : Generator
        Source of chance.
    stars : (n, 3) float64
        x, y in pixels, and flux in electrons.
    noise : float
        Standard deviation of empty sky, electrons.
    fwhm : float
        Of the PSF, pixels.
    limits : SpikeRange, optional
        Pattern.

    Returns
    -------
    (ny, nx) uint32
        SPIKE where the arms exceed threshold and contrast of ``limits`` outside the core.
    """
    limits = limits or SpikeRange()
    arms = _arms(rng, limits)
    share, length = log_uniform(rng, limits.share), log_uniform(rng, limits.length)
    width = max(uniform(rng, limits.width), 0.8 * fwhm)
    layer = np.zeros(image.shape)
    for x, y, flux in stars[stars[:, 2] > limits.faintest * noise]:
        light = share * flux / arms.size
        layer += _star(
            (image.shape[0], image.shape[1]),
            (x, y),
            arms,
            light,
            (length, width, limits.core * fwhm),
        )
    least = {"threshold": limits.threshold, "contrast": limits.contrast}
    return add_layer(image, layer, MaskPlane.SPIKE, noise=noise, **least)


def _arms(rng: np.random.Generator, limits: SpikeRange) -> NDArray[np.float64]:
    """Return the directions of the arms; those of some telescopes are not evenly spaced."""
    count = int(rng.choice(limits.arms))
    step = 2 * np.pi / count
    angles = uniform(rng, (0, step)) + step * np.arange(count)
    if rng.random() < _BROKEN:
        # Struts that miss the centre: opposite arms make an angle with each other.
        angles = angles + np.where(np.arange(count) % 2, 1, -1) * uniform(rng, (0, 0.12))
    return np.asarray(angles)


def _star(
    shape: tuple[int, int],
    place: tuple[float, float],
    arms: NDArray[np.float64],
    light: float,
    sizes: tuple[float, float, float],
) -> NDArray[np.float64]:
    """Return the arms of one star; `light` is the flux of each, `sizes` length, width, core."""
    length, width, core = sizes
    ny, nx = shape
    y, x = np.arange(ny)[:, None] - place[1], np.arange(nx)[None, :] - place[0]
    layer = np.zeros(shape)
    for angle in arms:
        along = x * np.cos(angle) + y * np.sin(angle)
        across = y * np.cos(angle) - x * np.sin(angle)
        sigma = width * (1 + np.maximum(along, 0) / 400) / 2.3548
        inside = (along > core) & (np.abs(across) < 5 * sigma)
        r, a, s = along[inside], across[inside], sigma[inside]
        # Light falls along a spike as the distance squared and is cut at its length.
        radial = core / r**2 * np.exp(-((r / length) ** 2))
        layer[inside] += light * radial * np.exp(-0.5 * (a / s) ** 2) / (s * np.sqrt(2 * np.pi))
    return layer
