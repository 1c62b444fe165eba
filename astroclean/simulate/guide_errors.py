"""Errors of guiding as their spectra and steps make them: the second recipe's motion.

Nothing here is shared with `astroclean.simulate.motion`: a network that was trained on those paths
is judged by these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.simulate.draws import log_uniform, uniform, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["GUIDE_ERRORS", "guide_path"]

_STEPS = 8192
_TRACE = 0.08
"""Size of what every telescope has of the other kinds, relative to the error itself."""


def _coloured(rng: np.random.Generator, power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a Gaussian series of variance 1 with a power spectrum at whole cycles an exposure."""
    amplitude = np.sqrt(power)
    spectrum = amplitude * (rng.standard_normal(power.size) + 1j * rng.standard_normal(power.size))
    spectrum[0] = 0
    series = np.fft.irfft(spectrum, n=_STEPS)
    return np.asarray(series / series.std())


def _loop(rng: np.random.Generator) -> NDArray[np.float64]:
    # A closed loop takes away what is slower than its bandwidth; what is faster falls steeply.
    cycles = np.arange(_STEPS // 2 + 1, dtype=float)
    bandwidth, slope = log_uniform(rng, (2.0, 200.0)), uniform(rng, (1.5, 3.5))
    power = 1 / (1 + (cycles / bandwidth) ** slope)
    axes = np.stack([_coloured(rng, power), _coloured(rng, power)])
    return axes * [[1.0], [uniform(rng, (0.15, 1.0))]]


def _resonance(rng: np.random.Generator) -> NDArray[np.float64]:
    cycles = np.arange(_STEPS // 2 + 1, dtype=float)
    center, quality = log_uniform(rng, (20.0, 1500.0)), log_uniform(rng, (3.0, 100.0))
    power = 1 / (1 + (quality * (cycles - center) / center) ** 2)
    axes = np.stack([_coloured(rng, power), _coloured(rng, power)])
    return axes * [[1.0], [uniform(rng, (0.0, 0.5))]]


def _worm(rng: np.random.Generator) -> NDArray[np.float64]:
    time = np.linspace(0, 1, _STEPS)
    turns = log_uniform(rng, (0.4, 8.0))
    swing = sum(
        rng.normal() / harmonic * np.sin(2 * np.pi * (harmonic * turns * time + rng.random()))
        for harmonic in (1, 1, 2, 3, 5)
    )
    return np.stack([swing, np.zeros(_STEPS)])


def _flexure(rng: np.random.Generator) -> NDArray[np.float64]:
    time = np.linspace(-0.5, 0.5, _STEPS)
    return np.stack([time + uniform(rng, (-0.8, 0.8)) * time**2, uniform(rng, (-1, 1)) * time**2])


def _lost_star(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return rests at a few places, with the way between them where the shutter stayed open."""
    count = whole(rng, (2, 3))
    edges = np.concatenate([[0.0], np.sort(rng.uniform(0.08, 0.92, count - 1)), [1.0]])
    places = np.cumsum(rng.normal(size=(2, count)), axis=1)
    way = uniform(rng, (0.001, 0.06))
    times = np.concatenate([[e, e + way] for e in edges[1:-1]])
    time = np.linspace(0, 1, _STEPS)
    steps = np.repeat(places, 2, axis=1)[:, 1:-1]
    return np.stack([np.interp(time, times, axis) for axis in steps])


GUIDE_ERRORS: dict[str, Callable[[np.random.Generator], NDArray[np.float64]]] = {
    "loop": _loop,
    "resonance": _resonance,
    "worm": _worm,
    "flexure": _flexure,
    "lost-star": _lost_star,
}
"""Kinds of errors, each a function that returns a (2, n) path of any size."""


def guide_path(rng: np.random.Generator, *, kind: str, extent: float) -> NDArray[np.float64]:
    """Return where the image was during the exposure.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    kind : str
        ``loop`` (a guiding loop's residual), ``resonance`` (the mount or the tube swings),
        ``worm`` (periodic error of the drive), ``flexure`` (against the guider), ``lost-star``.
    extent : float
        Length of an even drift that blurs as much along the direction of the most motion, in any
        unit: the definition of `astroclean.simulate.tracking`.

    Returns
    -------
    (2, 8192) float64
        Places (y, x) at even steps of time, in the unit of `extent`, of mean 0.
    """
    path = _unit(GUIDE_ERRORS[kind](rng))
    for other, function in GUIDE_ERRORS.items():
        if other != kind:
            path = path + _TRACE * rng.random() * _turned(rng, _unit(function(rng)))
    return extent * _turned(rng, _unit(path))


def _unit(path: NDArray[np.float64]) -> NDArray[np.float64]:
    path = path - path.mean(axis=1, keepdims=True)
    most = float(np.linalg.eigvalsh(np.cov(path))[-1])
    # An even drift of length 1 has a variance of 1/12.
    return np.asarray(path / max(np.sqrt(12 * most), 1e-12))


def _turned(rng: np.random.Generator, path: NDArray[np.float64]) -> NDArray[np.float64]:
    angle = uniform(rng, (0, 2 * np.pi))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(turn @ path)
