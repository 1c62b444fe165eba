"""Diffraction spikes (SPIKE) of bright stars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.options import Options
from astroclean.simulate.contaminants.layers import add_layer
from astroclean.simulate.draws import Range, log_uniform, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SpikeRange", "add_spikes"]

_BROKEN = 0.3
_UPRIGHT = 0.4
_EVEN = (2, 4, 8)


class SpikeRange(Options):
    """What spikes are drawn from."""

    arms: tuple[int, ...] = (2, 4, 4, 4, 4, 6, 8)
    share: Range = (0.004, 0.08)
    """Of the star's light in all arms."""
    length: Range = (30.0, 500.0)
    """Pixels at which an arm fades."""
    width: Range = (0.8, 5.0)
    """Full width at half maximum of an arm, pixels; it grows outwards."""
    narrowest: Range = (0.5, 1.0)
    """Least width in FWHM of the PSF."""
    power: Range = (1.0, 2.3)
    """Power of the distance with which an arm fades; diffraction at an edge has 2."""
    uneven: Range = (0.4, 1.0)
    """Light of the faintest arms over that of the brightest."""
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
    pattern = _draw_pattern(rng, limits, fwhm=fwhm)
    layer = np.zeros(image.shape)
    for x, y, flux in stars[stars[:, 2] > limits.faintest * noise]:
        layer += flux * _star((image.shape[0], image.shape[1]), (x, y), pattern)
    return add_layer(
        image,
        layer,
        MaskPlane.SPIKE,
        noise=noise,
        threshold=limits.threshold,
        contrast=limits.contrast,
    )


@dataclass(frozen=True, eq=False)
class _Pattern:
    """The spikes of a telescope, for a star of flux 1."""

    angles: NDArray[np.float64]
    """Radians, one for each arm."""
    light: NDArray[np.float64]
    """Of each arm."""
    length: float
    width: float
    core: float
    """Radius inside which there is none."""
    power: float
    growth: float
    """Pixels over which an arm becomes twice as wide."""
    beads: tuple[float, float]
    """Depth of the waves along an arm, and their length in pixels: what interferes."""


def _draw_pattern(rng: np.random.Generator, limits: SpikeRange, *, fwhm: float) -> _Pattern:
    angles = _arms(rng, limits)
    uneven = uniform(rng, limits.uneven)
    # Opposite arms come from one strut.
    half = max(angles.size // 2, 1)
    light = np.tile(rng.uniform(uneven, 1, half), 2)[: angles.size]
    return _Pattern(
        angles=angles,
        light=log_uniform(rng, limits.share) * light / light.sum(),
        length=log_uniform(rng, limits.length),
        width=max(uniform(rng, limits.width), uniform(rng, limits.narrowest) * fwhm),
        core=limits.core * fwhm,
        power=uniform(rng, limits.power),
        growth=log_uniform(rng, (150.0, 3000.0)),
        beads=(max(uniform(rng, (-0.6, 0.6)), 0.0), log_uniform(rng, (4.0, 40.0))),
    )


def _arms(rng: np.random.Generator, limits: SpikeRange) -> NDArray[np.float64]:
    """Return the directions of the arms; those of some telescopes are not evenly spaced."""
    count = int(rng.choice(limits.arms))
    step = 2 * np.pi / count
    angles = uniform(rng, (0, step)) + step * np.arange(count)
    if rng.random() < _UPRIGHT:
        # Most mounts keep the struts along rows and columns, or between them.
        angles = np.rint(angles / (np.pi / 4)) * (np.pi / 4) if count in _EVEN else angles
        angles = angles + rng.normal(0, 0.02)
    if rng.random() < _BROKEN:
        # Struts that miss the centre: opposite arms make an angle with each other.
        angles = angles + np.where(np.arange(count) % 2, 1, -1) * uniform(rng, (0, 0.12))
    return np.asarray(angles)


def _star(
    shape: tuple[int, int], place: tuple[float, float], pattern: _Pattern
) -> NDArray[np.float64]:
    """Return the arms of one star of flux 1."""
    ny, nx = shape
    y, x = np.arange(ny)[:, None] - place[1], np.arange(nx)[None, :] - place[0]
    layer = np.zeros(shape)
    depth, wave = pattern.beads
    phase = place[0] + place[1]
    steps = np.arange(pattern.core, 4 * pattern.length + pattern.core, 0.5)
    total = 0.5 * np.sum(_fading(steps, pattern))
    for angle, light in zip(pattern.angles, pattern.light, strict=True):
        along = x * np.cos(angle) + y * np.sin(angle)
        across = y * np.cos(angle) - x * np.sin(angle)
        sigma = pattern.width * (1 + np.maximum(along, 0) / pattern.growth) / 2.3548
        inside = (along > pattern.core) & (np.abs(across) < 5 * sigma)
        r, a, s = along[inside], across[inside], sigma[inside]
        radial = _fading(r, pattern) / total * (1 + depth * np.sin(2 * np.pi * r / wave + phase))
        layer[inside] += light * radial * np.exp(-0.5 * (a / s) ** 2) / (s * np.sqrt(2 * np.pi))
    return layer


def _fading(r: NDArray[np.float64], pattern: _Pattern) -> NDArray[np.float64]:
    """Return the light at a distance, up to a factor; an arm is cut at its length."""
    return np.asarray((r / pattern.core) ** -pattern.power * np.exp(-((r / pattern.length) ** 2)))
