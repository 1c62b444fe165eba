"""How a telescope that does not follow the sky moves during an exposure.

Each function returns the place of the image at even steps of time, in units of its own: what
counts is the shape. `PATHS` has them by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.simulate.draws import log_uniform, uniform, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["PATHS", "Path"]

_STEPS = 4000

Path = tuple["NDArray[np.float64]", "NDArray[np.float64]"]
"""Places (y, x) at even steps of time."""


def _turned(rng: np.random.Generator, y: NDArray[np.float64], x: NDArray[np.float64]) -> Path:
    angle = uniform(rng, (0, np.pi))
    return y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)


def _along(rng: np.random.Generator, along: NDArray[np.float64], across: float) -> Path:
    """Return a path along one direction with some motion across it."""
    other = across * along.std() * np.cumsum(rng.standard_normal(along.size)) / along.size**0.5
    return _turned(rng, along, other)


def _walk(rng: np.random.Generator) -> Path:
    from scipy.signal import lfilter  # noqa: PLC0415 - slow to import

    # Guiding pulls back: a walk with a memory of a fraction of the exposure.
    memory = uniform(rng, (0.98, 0.9995))
    steps = rng.standard_normal((2, _STEPS)) * [[1.0], [uniform(rng, (0.2, 1.0))]]
    y, x = lfilter([1.0], [1.0, -memory], steps, axis=1)
    return _turned(rng, y, x)


def _jumps(rng: np.random.Generator) -> Path:
    count = whole(rng, (2, 4))
    places = rng.standard_normal((2, count))
    shares = rng.dirichlet(np.full(count, 2.0))
    times = np.searchsorted(np.cumsum(shares)[:-1], np.linspace(0, 1, _STEPS))
    y, x = places[:, times] + 0.02 * rng.standard_normal((2, _STEPS))
    if rng.random() < 0.5:  # noqa: PLR2004 - the shutter was open on the way, or not
        way = np.linspace(0, 1, _STEPS // 10)
        for axis, path in ((0, y), (1, x)):
            path[: way.size] = np.interp(way, np.linspace(0, 1, count), places[axis])
    return y, x


def _shake(rng: np.random.Generator) -> Path:
    time = np.linspace(0, 1, _STEPS)
    gusts = 1 + 0.6 * np.sin(2 * np.pi * uniform(rng, (1, 4)) * time + uniform(rng, (0, 6)))
    swing = gusts * np.sin(2 * np.pi * uniform(rng, (60, 300)) * time)
    return _along(rng, swing, uniform(rng, (0.05, 0.4)))


def _drift(rng: np.random.Generator) -> Path:
    time = np.linspace(0, 1, _STEPS)
    period = uniform(rng, (0.5, 4.0))
    motion = time + uniform(rng, (0, 0.2)) * np.sin(2 * np.pi * period * time)
    return _along(rng, motion, uniform(rng, (0.02, 0.2)))


def _jitter(rng: np.random.Generator) -> Path:
    # So fast that every place is visited often: a Gaussian, round or nearly so.
    y, x = rng.standard_normal((2, _STEPS)) * [[1.0], [uniform(rng, (0.5, 1.0))]]
    return _turned(rng, y, x)


def _oscillation(rng: np.random.Generator) -> Path:
    # Worm gears and resonances of both axes: arcs, ellipses and what Lissajous drew.
    time = np.linspace(0, 1, _STEPS)
    cycles = log_uniform(rng, (0.3, 30.0)) * np.array(
        [1.0, float(rng.choice([1.0, 1.0, 2.0, 3.0]))]
    )
    phases = rng.uniform(0, 2 * np.pi, 2)
    sizes = np.array([1.0, uniform(rng, (0.0, 1.0))])
    y, x = sizes[:, np.newaxis] * np.sin(2 * np.pi * np.outer(cycles, time) + phases[:, np.newaxis])
    noise = 0.1 * rng.standard_normal((2, _STEPS))
    return _turned(rng, y + noise[0], x + noise[1])


PATHS: dict[str, Callable[[np.random.Generator], Path]] = {
    "walk": _walk,
    "jumps": _jumps,
    "shake": _shake,
    "drift": _drift,
    "jitter": _jitter,
    "oscillation": _oscillation,
}
"""Kinds of tracking errors."""
