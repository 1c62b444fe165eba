"""Fringes (FRINGE): light of sky lines that interferes in a layer of uneven thickness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.simulate.draws import log_uniform, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["draw_fringes"]

_WAVES = 6


def draw_fringes(
    rng: np.random.Generator, shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw what is left of fringes after a correction that did not quite fit.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.

    Returns
    -------
    pattern : (ny, nx) float64
        In units of the noise of the sky; its mean is about 0.
    amplitude : (ny, nx) float64
        Local amplitude of the pattern.
    """
    size = max(shape)
    y, x = np.ogrid[: shape[0], : shape[1]]
    spacing = log_uniform(rng, (10, 70))
    # A polished layer: a wedge, a bowl, and long waves of random phase.
    angle = uniform(rng, (0, 2 * np.pi))
    thickness = (x * np.cos(angle) + y * np.sin(angle)) / spacing
    bowl = uniform(rng, (-0.5, 0.5)) / spacing / size
    thickness = thickness + bowl * (
        (x - uniform(rng, (0, size))) ** 2 + (y - uniform(rng, (0, size))) ** 2
    )
    for _ in range(_WAVES):
        turn, wave = uniform(rng, (0, 2 * np.pi)), log_uniform(rng, (0.25, 1.2)) * size
        height = uniform(rng, (0, 0.12)) * wave / spacing
        phase = 2 * np.pi * (x * np.cos(turn) + y * np.sin(turn)) / wave
        thickness = thickness + height * np.sin(phase + uniform(rng, (0, 2 * np.pi)))
    # Lines of the sky at several wavelengths: their beats fade.
    wave_sum = np.zeros(shape, dtype=complex)
    lines = rng.dirichlet(np.ones(3))
    for share, wavelength in zip(lines, 1 + rng.normal(0, 0.02, 3), strict=True):
        wave_sum += share * np.exp(2j * np.pi * thickness / wavelength)
    strength = log_uniform(rng, (1.2, 8.0)) * _envelope(rng, shape)
    return strength * wave_sum.real, strength * np.abs(wave_sum)


def _envelope(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return broad bumps with a maximum of 1: where the correction was wrong the most."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    total = np.full(shape, uniform(rng, (0, 0.6)))
    for _ in range(int(rng.integers(1, 4))):
        cy, cx = uniform(rng, (-0.1, 1.1)) * shape[0], uniform(rng, (-0.1, 1.1)) * shape[1]
        width = uniform(rng, (0.2, 0.6)) * max(shape)
        total = total + np.exp(-0.5 * ((x - cx) ** 2 + (y - cy) ** 2) / width**2)
    return np.asarray(total / total.max())
