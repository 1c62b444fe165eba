"""What an exposure has beside sky, sources and defects: slopes, shading, steps, banding.

No mask plane is true of it. A network that never saw any takes the edge of a shaded corner for
overscan, and bands of an amplifier for fringes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.stage.options import Options
from astroclean.simulate.draws import Range, log_uniform, power_law_field, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SkyStructureRange", "draw_readout", "draw_shading", "shaded_sky"]

_DEEPEST = 0.4
"""Part of the sky that shading takes at most."""


class SkyStructureRange(Options):
    """What shading and readout are drawn from, in standard deviations of empty sky."""

    slope: Range = (0.3, 40.0)
    """From one border to the other."""
    corner: Range = (0.3, 30.0)
    """By which the corners of a vignetted frame are darker."""
    flat: Range = (0.05, 0.6)
    """Scatter of what flat fields leave: smooth blobs."""
    step: Range = (0.1, 2.0)
    """Between the halves of two amplifiers."""
    banding: Range = (0.03, 0.5)
    """Scatter of whole rows, or columns."""


def draw_shading(
    rng: np.random.Generator,
    shape: tuple[int, int],
    limits: SkyStructureRange | None = None,
    *,
    deepest: float = np.inf,
) -> NDArray[np.float64]:
    """Draw what the light of the sky has of slopes and shadows.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.
    limits : SkyStructureRange, optional
        Amplitudes.
    deepest : float
        Depth of the darkest shadow at most, in the same unit: a shadow leaves most of the light, or
        it would look like a dead line or overscan.

    Returns
    -------
    (ny, nx) float64
        In standard deviations of empty sky, of median 0.
    """
    limits = limits or SkyStructureRange()
    y, x = np.linspace(-0.5, 0.5, shape[0])[:, None], np.linspace(-0.5, 0.5, shape[1])[None, :]
    angle = uniform(rng, (0, 2 * np.pi))
    shading = log_uniform(rng, limits.slope) * (x * np.cos(angle) + y * np.sin(angle))
    if rng.random() < 0.5:  # noqa: PLR2004 - as often as not
        # Two times the radius of the frame: what one corner of a camera sees.
        cy, cx = uniform(rng, (-0.7, 0.7)), uniform(rng, (-0.7, 0.7))
        r2 = (y - cy) ** 2 + (x - cx) ** 2
        power = uniform(rng, (1, 4))
        shading = shading - log_uniform(rng, limits.corner) * (r2 / r2.max()) ** power
    if rng.random() < 0.5:  # noqa: PLR2004 - as often as not
        blobs = power_law_field(rng, shape, index=uniform(rng, (-5.0, -3.0)))
        shading = shading + log_uniform(rng, limits.flat) * blobs
    shading = shading - np.median(shading)
    return np.asarray(shading * min(1.0, deepest / max(float(-shading.min()), 1e-9)))


def shaded_sky(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    sky: float,
    noise: float,
    limits: SkyStructureRange,
) -> NDArray[np.float64]:
    """Return the light of a sky with slopes and shadows, which leave most of it.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.
    sky, noise : float
        Electrons of a pixel, and their standard deviation.
    limits : SkyStructureRange
        Amplitudes.

    Returns
    -------
    (ny, nx) float64
        Electrons.
    """
    return sky + noise * draw_shading(rng, shape, limits, deepest=_DEEPEST * sky / noise)


def draw_readout(
    rng: np.random.Generator, shape: tuple[int, int], limits: SkyStructureRange | None = None
) -> NDArray[np.float64]:
    """Draw what amplifiers add: steps between them, and offsets of rows or columns.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.
    limits : SkyStructureRange, optional
        Amplitudes.

    Returns
    -------
    (ny, nx) float64
        In standard deviations of empty sky, of median about 0.
    """
    limits = limits or SkyStructureRange()
    offsets = np.zeros(shape)
    if rng.random() < 0.6:  # noqa: PLR2004 - most frames have several amplifiers
        edge = int(rng.integers(shape[1] // 8, shape[1]))
        offsets[:, edge:] += log_uniform(rng, limits.step) * rng.choice((-1, 1))
    if rng.random() < 0.6:  # noqa: PLR2004 - most frames, a little
        from scipy.ndimage import gaussian_filter1d  # noqa: PLC0415 - slow to import

        rows = rng.standard_normal(shape[0])
        if rng.random() < 0.5:  # noqa: PLR2004 - slow drifts and hum as well as jumps
            rows = gaussian_filter1d(rows, log_uniform(rng, (0.5, 20)))
            rows /= max(float(rows.std()), 1e-9)
        offsets += log_uniform(rng, limits.banding) * rows[:, None]
    return offsets if rng.random() < 0.5 else offsets.T if shape[0] == shape[1] else offsets  # noqa: PLR2004
