"""Light of the sky that masks mistake for defects: discs, arcs, spirals, rings, halos, nuclei.

A network that never saw them calls an edge-on disc a trail, the halo of a galaxy a ghost and its
nucleus saturated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.stage.options import Options
from astroclean.simulate.draws import Range, log_uniform, power_law_field, uniform

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from astroclean.simulate.psfs import PsfModel

__all__ = ["LookalikeRange", "draw_lookalikes"]

_PER = 512 * 512
_REACH = 40
"""Half side of the PSF that they are convolved with, in pixels."""


class LookalikeRange(Options):
    """What lookalikes are drawn from."""

    count: Range = (1.0, 8.0)
    """In 512 x 512 pixels."""
    peak: Range = (2.0, 400.0)
    """Of the brightest pixel, in standard deviations of empty sky."""
    size: Range = (3.0, 70.0)
    """Scale length of discs and radius of arcs and rings, in pixels."""
    shares: tuple[float, ...] = (0.28, 0.22, 0.14, 0.1, 0.26)
    """Of discs, arcs, spirals, rings and halos."""


def draw_lookalikes(
    rng: np.random.Generator,
    shape: tuple[int, int],
    psf: PsfModel,
    *,
    noise: float,
    limits: LookalikeRange | None = None,
) -> NDArray[np.float64]:
    """Draw objects and render them without sky.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.
    psf : PsfModel
        Image of a star.
    noise : float
        Standard deviation of empty sky in electrons.
    limits : LookalikeRange, optional
        Numbers, brightness and sizes.

    Returns
    -------
    (ny, nx) float64
        Electrons.
    """
    from scipy.signal import fftconvolve  # noqa: PLC0415 - slow to import

    limits = limits or LookalikeRange()
    sharp = np.zeros(shape)
    count = 1 + rng.poisson(log_uniform(rng, limits.count) * shape[0] * shape[1] / _PER)
    for _ in range(count):
        shape_of = _SHAPES[int(rng.choice(len(_SHAPES), p=limits.shares))]
        place = (uniform(rng, (-0.05, 1.05)) * shape[0], uniform(rng, (-0.05, 1.05)) * shape[1])
        along, across = _turned(rng, shape, place)
        light = shape_of(rng, along, across, log_uniform(rng, limits.size))
        sharp += light * log_uniform(rng, limits.peak) * noise / max(float(light.max()), 1e-12)
    blurred = fftconvolve(sharp, psf.kernel(per_pixel=1, half=_REACH), mode="same")
    return np.asarray(np.clip(blurred, 0, None))


def _turned(
    rng: np.random.Generator, shape: tuple[int, int], place: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coordinates along and across a random direction, from a place."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    angle = uniform(rng, (0, np.pi))
    dy, dx = y - place[0], x - place[1]
    along = dx * np.cos(angle) + dy * np.sin(angle)
    return along, dy * np.cos(angle) - dx * np.sin(angle)


def _disc(
    rng: np.random.Generator,
    along: NDArray[np.float64],
    across: NDArray[np.float64],
    size: float,
) -> NDArray[np.float64]:
    """Return an edge-on disc: exponential along, sech^2 across, with or without bulge and dust."""
    height = size * log_uniform(rng, (0.03, 0.3))
    warp = uniform(rng, (-0.1, 0.1)) * height * (along / size) ** 2
    above = (across - warp) / max(height, 0.3)
    light = np.exp(-np.abs(along) / size) / np.cosh(np.clip(above, -30, 30)) ** 2
    if rng.random() < 0.5:  # noqa: PLR2004 - half of them have a bulge
        radius = np.hypot(along, across / uniform(rng, (0.6, 1.0))) / (
            size * uniform(rng, (0.1, 0.5))
        )
        light = light + uniform(rng, (0.3, 5)) * np.exp(-2 * np.sqrt(radius + 0.05))
    if rng.random() < 0.3:  # noqa: PLR2004 - a lane of dust
        lane = np.exp(
            -(((above - uniform(rng, (-0.3, 0.3))) / 0.4) ** 2) - (along / (3 * size)) ** 2
        )
        light = light * (1 - uniform(rng, (0.2, 0.8)) * lane)
    return np.asarray(light)


def _arc(
    rng: np.random.Generator,
    along: NDArray[np.float64],
    across: NDArray[np.float64],
    size: float,
) -> NDArray[np.float64]:
    """Return a lensed image: a piece of a thin circle, smooth or clumpy."""
    radius = size * uniform(rng, (0.8, 3.0))
    width = uniform(rng, (0.3, 2.5))
    distance = np.hypot(along, across + radius) - radius
    angle = np.arctan2(along, across + radius)
    opening = np.deg2rad(log_uniform(rng, (8, 150))) / 2
    light = np.exp(-0.5 * (distance / width) ** 2 - np.abs(angle / opening) ** uniform(rng, (2, 6)))
    if rng.random() < 0.5:  # noqa: PLR2004 - clumps of star formation
        phase = uniform(rng, (0, 2 * np.pi))
        light = light * (
            1 + uniform(rng, (0, 1)) * np.cos(uniform(rng, (2, 9)) * angle / opening + phase)
        )
    return np.asarray(light)


def _spiral(
    rng: np.random.Generator,
    along: NDArray[np.float64],
    across: NDArray[np.float64],
    size: float,
) -> NDArray[np.float64]:
    """Return a disc with logarithmic arms and knots in them."""
    radius = np.hypot(along, across / uniform(rng, (0.25, 1.0))) + 0.5
    arms = int(rng.integers(1, 5))
    turn = arms * (np.arctan2(across, along) - np.log(radius) / np.tan(uniform(rng, (0.15, 0.6))))
    wave = np.clip(0.5 + 0.5 * np.cos(turn), 0, None) ** uniform(rng, (1, 5))
    knots = np.exp(0.8 * power_law_field(rng, (along.shape[0], along.shape[1]), index=-1.5))
    disc = np.exp(-radius / size)
    bulge = uniform(rng, (0, 4)) * np.exp(-radius / (0.15 * size + 0.5))
    return np.asarray(disc * (0.25 + wave * knots) + bulge)


def _ring(
    rng: np.random.Generator,
    along: NDArray[np.float64],
    across: NDArray[np.float64],
    size: float,
) -> NDArray[np.float64]:
    """Return a ring galaxy, a planetary nebula or an Einstein ring, with or without a middle."""
    radius = np.hypot(along, across / uniform(rng, (0.4, 1.0)))
    width = max(size * log_uniform(rng, (0.03, 0.4)), 0.5)
    light = np.exp(-0.5 * ((radius - size) / width) ** 2)
    light = light * (1 + uniform(rng, (0, 0.9)) * np.cos(np.arctan2(across, along)))
    middle = uniform(rng, (-2, 6))
    return np.asarray(light + max(middle, 0.0) * np.exp(-radius / (0.2 * size + 0.5)))


def _halo(
    rng: np.random.Generator,
    along: NDArray[np.float64],
    across: NDArray[np.float64],
    size: float,
) -> NDArray[np.float64]:
    """Return a Sersic profile: ellipticals with their halos, nuclei, discs of low brightness."""
    index = log_uniform(rng, (0.5, 6.0))
    # Ciotti & Bertin 1999, A&A 352, 447, their first terms.
    steep = 2 * index - 1 / 3 + 0.009876 / index
    radius = np.hypot(along, across / uniform(rng, (0.4, 1.0)))
    scaled = np.maximum(radius, 0.5) / size
    return np.asarray(np.exp(-np.minimum(steep * scaled ** (1 / index), 60.0)))


_SHAPES: tuple[Callable[..., NDArray[np.float64]], ...] = (_disc, _arc, _spiral, _ring, _halo)
