"""Trails (TRAIL): satellites, steady, flaring, tumbling or dashed, aircraft and meteors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.options import Options
from astroclean.simulate.contaminants.layers import add_layer
from astroclean.simulate.draws import Range, Share, log_uniform, uniform, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["TrailRange", "add_trails"]

_BENT = 0.35
"""Part of the trails that are not straight: orbits and distortions bend them."""
_COMPANIONS = 0.05
"""Part that are the lamps of one aircraft, side by side."""


class TrailRange(Options):
    """What trails are drawn from."""

    count: tuple[int, int] = (1, 3)
    peak: Range = (0.7, 60.0)
    """Brightness of the ridge in standard deviations of empty sky. A line is seen below one."""
    defocused: Share = 0.35
    """Part that are out of focus: what is near is imaged as the pupil."""
    pupil: Range = (2.0, 30.0)
    """Width of that image in pixels, without the seeing."""
    hole: Range = (0.1, 0.6)
    """Diameter of the hole in the mirror over that of the mirror."""
    jitter: Range = (0.0, 0.6)
    """Pixels by which the air moves the ridge, standard deviation."""
    sagitta: Range = (0.5, 12.0)
    """Pixels by which a bent trail leaves its chord, over 512 pixels."""
    beta: Range = (2.2, 6.0)
    """Exponent of the Moffat profile in whose wings a trail ends."""
    threshold: float = 0.5
    """Standard deviations of a pixel without it above which it is true TRAIL: over the length of a
    trail such a pixel biases what is measured, and is seen."""
    doubt: Range = (0.25, 1.0)
    """Standard deviations between which a pixel is SUSPECT: alone it tells nothing."""


def add_trails(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    noise: float,
    fwhm: float,
    limits: TrailRange | None = None,
) -> NDArray[np.uint32]:
    """Add trails that cross the frame, or end in it.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons; changed.
    rng : Generator
        Source of chance.
    noise : float
        Standard deviation of empty sky, electrons.
    fwhm : float
        Of the PSF, pixels.
    limits : TrailRange, optional
        Counts, brightness, defocus.

    Returns
    -------
    (ny, nx) uint32
        TRAIL where the light exceeds ``limits.threshold`` times the noise, SUSPECT where it is
        within ``limits.doubt``.
    """
    limits = limits or TrailRange()
    layer = np.zeros(image.shape)
    for _ in range(whole(rng, limits.count)):
        layer += _trail(rng, (image.shape[0], image.shape[1]), noise, fwhm, limits)
    return add_layer(
        image,
        layer,
        MaskPlane.TRAIL,
        noise=noise,
        threshold=limits.threshold,
        doubt=limits.doubt,
    )


def _trail(
    rng: np.random.Generator,
    shape: tuple[int, int],
    noise: float,
    fwhm: float,
    limits: TrailRange,
) -> NDArray[np.float64]:
    ny, nx = shape
    angle = uniform(rng, (0, np.pi))
    cy, cx = rng.uniform(0.1, 0.9) * ny, rng.uniform(0.1, 0.9) * nx
    y, x = np.ogrid[:ny, :nx]
    along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
    reach = float(np.hypot(ny, nx))
    knots = np.arange(-reach, reach)
    ridge = _wobble(rng, knots.size, uniform(rng, limits.jitter))
    if rng.random() < _BENT:
        ridge = ridge + rng.choice((-1, 1)) * log_uniform(rng, limits.sagitta) * (knots / 256) ** 2
    across = across - np.interp(along, knots, ridge)
    profile = _profile(rng, fwhm, limits)
    bright = log_uniform(rng, limits.peak) * noise * _brightness(rng, knots)
    light = np.asarray(profile(across) * np.interp(along, knots, bright))
    if rng.random() < _COMPANIONS:
        apart, fainter = uniform(rng, (2, 12)) * fwhm, uniform(rng, (0.2, 1))
        bright = bright.max() * fainter * _brightness(rng, knots)
        light += profile(across - apart) * np.interp(along, knots, bright)
    return light


def _wobble(rng: np.random.Generator, count: int, jitter: float) -> NDArray[np.float64]:
    """Return displacements that vary smoothly over some tens of pixels."""
    from scipy.ndimage import gaussian_filter1d  # noqa: PLC0415 - slow to import

    smooth = gaussian_filter1d(rng.standard_normal(count), 8.0)
    return np.asarray(smooth * jitter / max(smooth.std(), 1e-9))


def _brightness(rng: np.random.Generator, along: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the light along the ridge, about 1, with or without ends."""
    light = np.asarray(_COURSES[int(rng.choice(len(_COURSES), p=_SHARES))](rng, along))
    if rng.random() < _ENDS:
        # Ends of the exposure: one or both of them in the frame.
        first = uniform(rng, (along[0] / 2, along[-1] / 3))
        last = first + uniform(rng, (0.1, 1.5)) * along[-1]
        soft = uniform(rng, (1, 6))
        light = light / (1 + np.exp(np.clip((along - last) / soft, -50, 50)))
        if rng.random() < 0.5:  # noqa: PLR2004 - as often as not
            light = light / (1 + np.exp(np.clip((first - along) / soft, -50, 50)))
    return light


def _least(rng: np.random.Generator, limit: float) -> float:
    """Return the light between maxima: none as often as some."""
    return max(uniform(rng, (-limit, limit)), 0.0)


def _steady(rng: np.random.Generator, along: NDArray[np.float64]) -> NDArray[np.float64]:
    slow = uniform(rng, (-0.4, 0.4)) * along / along[-1]
    return np.asarray(1 + slow)


def _flaring(rng: np.random.Generator, along: NDArray[np.float64]) -> NDArray[np.float64]:
    width, place = log_uniform(rng, (6, 150)), uniform(rng, (along[0] / 3, along[-1] / 3))
    base = _least(rng, 0.6)
    return np.asarray(base + (1 - base) * np.exp(-0.5 * ((along - place) / width) ** 2))


def _tumbling(rng: np.random.Generator, along: NDArray[np.float64]) -> NDArray[np.float64]:
    phase = 2 * np.pi * along / log_uniform(rng, (12, 250)) + uniform(rng, (0, 2 * np.pi))
    wave = 0.5 + 0.5 * np.cos(phase) + uniform(rng, (0, 0.4)) * np.cos(2 * phase)
    # The power sharpens the maxima, as glints of flat faces are.
    least, sharp = _least(rng, 0.6), uniform(rng, (0.7, 6))
    return np.asarray(least + (1 - least) * np.clip(wave, 0, None) ** sharp)


def _dashed(rng: np.random.Generator, along: NDArray[np.float64]) -> NDArray[np.float64]:
    period, duty = log_uniform(rng, (10, 200)), uniform(rng, (0.15, 0.85))
    place = np.abs((along / period + uniform(rng, (0, 1))) % 1 - 0.5) * 2
    soft = max(uniform(rng, (0.5, 4)) / period, 1e-3)
    lit = 1 / (1 + np.exp(np.clip((place - duty) / soft, -50, 50)))
    dark = _least(rng, 0.2)
    # Dashes need not be alike.
    number = np.floor(along / period).astype(int)
    heights = np.exp(uniform(rng, (0, 0.5)) * rng.standard_normal(np.ptp(number) + 1))
    return np.asarray((dark + (1 - dark) * lit) * heights[number - number.min()])


def _strobes(rng: np.random.Generator, along: NDArray[np.float64]) -> NDArray[np.float64]:
    period, phase = log_uniform(rng, (25, 200)), uniform(rng, (0, 1))
    distance = (np.abs((along / period + phase) % 1 - 0.5) * 2 - 1) * period / 2
    double = uniform(rng, (0.1, 0.4)) * period * (rng.random() < 0.4)  # noqa: PLR2004 - twin flashes
    width = uniform(rng, (0.7, 4))
    flash = np.exp(-0.5 * (distance / width) ** 2)
    flash = np.maximum(flash, 0.7 * np.exp(-0.5 * ((distance + double) / width) ** 2))
    base = _least(rng, 0.3)
    return np.asarray(base + (1 - base) * flash)


_COURSES: tuple[Callable[..., NDArray[np.float64]], ...] = (
    _steady,
    _flaring,
    _tumbling,
    _dashed,
    _strobes,
)
_SHARES = (0.4, 0.15, 0.17, 0.2, 0.08)
_ENDS = 0.25
"""Part of the trails that begin or end in the frame."""


def _profile(
    rng: np.random.Generator, fwhm: float, limits: TrailRange
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return the function of the distance from the ridge, 1 at its greatest.

    The PSF of a star summed along a line for what is in focus; for what is near, the projection of
    the ring of light that a mirror with a hole makes, blurred by the seeing.
    """
    pupil = log_uniform(rng, limits.pupil) if rng.random() < limits.defocused else 0.0
    reach = int(np.ceil(pupil / 2 + 8 * fwhm)) + 1
    step = 0.1
    r = np.arange(-reach, reach + step, step)
    beta = uniform(rng, limits.beta)
    width = fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
    # A Moffat profile summed along one axis is one of half a power less.
    core = (1 + (r / width) ** 2) ** (0.5 - beta)
    shape = core
    if pupil > fwhm / 2:
        radius = pupil / 2
        chord = np.sqrt(np.clip(radius**2 - r**2, 0, None))
        hole = uniform(rng, limits.hole) * radius
        chord -= np.sqrt(np.clip(hole**2 - r**2, 0, None))
        # Motion during the exposure and the slope of the pupil's light make one side brighter.
        tilt = 1 + uniform(rng, (-0.35, 0.35)) * r / radius
        shape = np.convolve(chord * tilt, core, mode="same")
    shape = shape / shape.max()
    return lambda across: np.asarray(np.interp(across, r, shape, left=0, right=0))
