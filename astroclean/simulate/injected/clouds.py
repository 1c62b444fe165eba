"""Nebulosity (NEBULOSITY): octaves of value noise, ridges for filaments, lanes of dust."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.simulate.draws import log_uniform, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["draw_nebula", "octaves"]


def octaves(
    rng: np.random.Generator, shape: tuple[int, int], *, cell: float, gain: float, ridged: bool
) -> NDArray[np.float64]:
    """Return fractal noise: random values on ever finer grids, with splines between them.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.
    cell : float
        Pixels of a cell of the coarsest grid.
    gain : float
        Amplitude of a grid over that of the next coarser one.
    ridged : bool
        Whether each octave has ridges where it passes zero, as filaments have.

    Returns
    -------
    (ny, nx) float64
        Of mean 0 and standard deviation 1.
    """
    total, amplitude = np.zeros(shape), 1.0
    while cell >= 3:  # noqa: PLR2004 - finer ones are noise
        rows, columns = (_weights(rng, side, cell) for side in shape)
        octave = rows @ rng.standard_normal((rows.shape[1], columns.shape[1])) @ columns.T
        total += amplitude * (1 - np.abs(octave) if ridged else octave)
        cell, amplitude = cell / 2, amplitude * gain
    return np.asarray((total - total.mean()) / max(float(total.std()), 1e-12))


def _weights(rng: np.random.Generator, side: int, cell: float) -> NDArray[np.float64]:
    """Return (side, knots): the cubic B-splines of knots a cell apart, at every pixel."""
    place = np.arange(side) / cell + rng.random() + 2
    distance = np.abs(place[:, None] - np.arange(int(side / cell) + 6)[None, :])
    near = (4 - 6 * distance**2 + 3 * distance**3) / 6
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.asarray(np.where(distance < 1, near, far))


def draw_nebula(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Draw a nebula with filaments, dark lanes, and sky beside it.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.

    Returns
    -------
    (ny, nx) float64
        Light, 0 in the sky and 1 at the brightest percent.
    """
    size = max(shape)
    body = octaves(rng, shape, cell=size / uniform(rng, (1.2, 3)), gain=0.5, ridged=False)
    threads = octaves(rng, shape, cell=size / uniform(rng, (2, 6)), gain=0.55, ridged=True)
    dust = octaves(rng, shape, cell=size / uniform(rng, (2, 5)), gain=0.55, ridged=True)
    light = np.exp(uniform(rng, (0.4, 0.9)) * body + uniform(rng, (0.1, 0.6)) * threads)
    light = light * np.exp(-uniform(rng, (0, 1.5)) * np.clip(dust - 0.6, 0, None))
    floor = np.quantile(light, uniform(rng, (0.05, 0.7)))
    light = np.clip(light - floor, 0, None)
    return np.asarray(light / max(float(np.quantile(light, 0.99)), 1e-12)) * log_uniform(
        rng, (0.9, 1.1)
    )
