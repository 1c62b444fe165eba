"""What the readout does: cross-talk of amplifiers (CROSSTALK), overscan and prescan (OVERSCAN)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.simulate.draws import log_uniform, uniform, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.simulate.injected.ground import Ground

__all__ = ["draw_crosstalk", "draw_unexposed"]


def draw_crosstalk(
    rng: np.random.Generator, image: NDArray[np.float64], ground: Ground
) -> NDArray[np.float64]:
    """Draw what amplifiers read of each other.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    image : (ny, nx) float64
        Electrons in full wells. Not modified.
    ground : Ground
        Noise and full well.

    Returns
    -------
    (ny, nx) float64
        Electrons, positive or negative: the mirrored picture of the other amplifier of the chip
        (two or four share it) and of a chip elsewhere, which holds stars of its own.
    """
    well, noise = ground.chip.well, ground.noise
    amplifiers = int(rng.choice([2, 2, 4]))
    width = image.shape[1] // amplifiers
    elsewhere = _elsewhere(rng, ground)
    layer = np.zeros_like(image)
    for victim in range(amplifiers):
        culprit = (victim + 1) % amplifiers
        own = image[:, culprit * width : (culprit + 1) * width] - ground.sky
        other = elsewhere[:, culprit * width : (culprit + 1) * width]
        source = np.maximum(np.where(own > 0.05 * well, own, 0), other)
        layer[:, victim * width : (victim + 1) * width] = source[:, ::-1]
    sign = -1 if rng.random() < 0.3 else 1  # noqa: PLR2004
    # Less than two sigma from a full pixel would not be seen.
    coupling = max(log_uniform(rng, (3e-4, 6e-3)), uniform(rng, (3, 6)) * noise / well)
    layer *= coupling * sign
    if rng.random() < 0.3:  # noqa: PLR2004 - an amplifier that is slow: a tail in the row
        from scipy.signal import lfilter  # noqa: PLC0415 - slow to import

        keep = uniform(rng, (0.2, 0.7))
        layer = np.asarray(lfilter([1 - keep], [1, -keep], layer, axis=1))
    return layer


def _elsewhere(rng: np.random.Generator, ground: Ground) -> NDArray[np.float64]:
    """Return the picture of another chip: one to three full stars, some with a bleeding column."""
    well, shape = ground.chip.well, ground.shape
    y, x = np.ogrid[: shape[0], : shape[1]]
    picture = np.zeros(shape)
    for _ in range(whole(rng, (1, 3))):
        px, py = uniform(rng, (0, shape[1])), uniform(rng, (0, shape[0]))
        width = ground.optics.fwhm / 1.1
        r2 = ((x - px) ** 2 + (y - py) ** 2) / width**2
        star = well * log_uniform(rng, (3, 2000)) * (1 + r2) ** -2.5
        picture = np.maximum(picture, np.where(star > 0.05 * well, np.minimum(star, well), 0))
        if rng.random() < 0.7:  # noqa: PLR2004
            size = int(np.count_nonzero(star >= well) ** 0.5)
            reach, half = log_uniform(rng, (1, 8)) * max(size, 3), size // 12
            column = (np.abs(x - int(px)) <= half) & (np.abs(y - py) < reach)
            picture = np.maximum(picture, well * column)
    return picture


def draw_unexposed(
    rng: np.random.Generator, shape: tuple[int, int], *, sky: float
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Draw strips that saw no sky: overscan, prescan, and edges that are not straight.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.
    sky : float
        Electrons of empty sky, a part of which trails into the overscan.

    Returns
    -------
    where : (ny, nx) bool
        The strips.
    charge : (ny, nx) float64
        Electrons there, without noise: none but for a decaying tail behind the last column.
    """
    where, charge = np.zeros(shape, dtype=bool), np.zeros(shape)
    tail = uniform(rng, (0, 0.05)) * sky
    for side in rng.choice(4, int(rng.choice([1, 1, 2, 3])), replace=False):
        turned, held = np.rot90(where, side), np.rot90(charge, side)  # views
        length, across = turned.shape
        width = min(log_uniform(rng, (4, 64)), across / 7)
        # The edge of a chip behind a mask, or turned against the frame, is a trapezoid.
        slope = rng.normal(0, 0.04) if rng.random() < 0.25 else 0.0  # noqa: PLR2004
        edge = width + slope * (np.arange(length) - length / 2)
        column = np.arange(across)[None, :]
        strip = column < np.clip(np.round(edge), 1, across / 5)[:, None]
        depth = np.maximum(edge[:, None] - column, 0)
        turned[strip] = True
        held[strip] = (tail * np.exp(-depth / 2))[strip]
    return where, charge
