"""Passages (TRAIL) of satellites, aircraft and meteors: steady, dashed, tumbling, out of focus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.simulate.draws import log_uniform, uniform, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KINDS", "Passage", "draw_passages", "render_passage"]

KINDS = ("steady", "dashed", "tumbling", "flare", "gaps", "defocused", "meteor", "aircraft")
_CHANCES = (0.22, 0.16, 0.14, 0.1, 0.08, 0.14, 0.08, 0.08)
_SIGMA = 2.3548
_FAINT = (1.2, 12.0)
_ANY = (6.0, 200.0)
_BOX = 0.81
"""Light of a Gaussian ridge in a box of one FWHM along and across, over peak times FWHM."""
_BLURS = (2.0, 9.0)
"""Width in FWHM that defocus or nearness adds."""


@dataclass(frozen=True)
class Passage:
    """One object that passes."""

    kind: str
    ends: tuple[float, float, float, float]
    """x, y of its first and last place, pixels; beyond the frame where it crosses it."""
    sagitta: float
    """Pixels by which its path is bent in the middle."""
    snr: float
    """Of a steady ridge in a box of one FWHM along and across."""
    ring: float
    """Diameter in pixels of the pupil out of focus; 0 in focus."""
    lanes: tuple[float, ...] = (0.0,)
    """Distances of parallel lines from the path: the lamps of an aircraft."""

    def told(self) -> str:
        """Return the passage as text: kind, ends, bend, S/N and width."""
        x0, y0, x1, y1 = self.ends
        return (
            f"{self.kind} {x0:.1f} {y0:.1f} {x1:.1f} {y1:.1f} bend {self.sagitta:.2f} "
            f"snr {self.snr:.2f} ring {self.ring:.1f}"
        )


def draw_passages(
    rng: np.random.Generator, shape: tuple[int, int], *, fwhm: float
) -> list[Passage]:
    """Draw one to three passages.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.
    fwhm : float
        Of a star, pixels.

    Returns
    -------
    list of Passage
        Of kinds of `KINDS`.
    """
    return [_draw_passage(rng, shape, fwhm) for _ in range(int(rng.choice([1, 1, 1, 2, 3])))]


def _draw_passage(rng: np.random.Generator, shape: tuple[int, int], fwhm: float) -> Passage:
    ny, nx = shape
    kind = str(rng.choice(KINDS, p=_CHANCES))
    angle, reach = uniform(rng, (0, 2 * np.pi)), float(np.hypot(ny, nx))
    cx, cy = uniform(rng, (0.05, 0.95)) * nx, uniform(rng, (0.05, 0.95)) * ny
    before, after = reach, reach
    if kind == "meteor" or rng.random() < 0.2:  # noqa: PLR2004 - that begin or end here
        before = uniform(rng, (0.03, 0.3)) * reach
        after = after if rng.random() < 0.5 else uniform(rng, (0.03, 0.3)) * reach  # noqa: PLR2004
    dx, dy = np.cos(angle), np.sin(angle)
    ends = cx - before * dx, cy - before * dy, cx + after * dx, cy + after * dy
    bend = rng.normal(0, 3.0) if rng.random() < 0.3 else 0.0  # noqa: PLR2004
    ring = 0.0
    if kind == "defocused":
        ring = uniform(rng, _BLURS) * fwhm
    elif kind == "meteor":
        ring = uniform(rng, (0, 5)) * fwhm
    lanes: tuple[float, ...] = (0.0,)
    if kind == "aircraft":
        half = log_uniform(rng, (8, 60))
        lanes = (-half, 0.0, half) if rng.random() < 0.6 else (-half, half)  # noqa: PLR2004
    snr = log_uniform(rng, _FAINT if rng.random() < 0.25 else _ANY)  # noqa: PLR2004
    return Passage(kind, ends, float(bend), snr, ring, lanes)


def render_passage(
    rng: np.random.Generator, shape: tuple[int, int], passage: Passage, *, fwhm: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the light of a passage, and where its path is.

    Parameters
    ----------
    rng : Generator
        Source of chance, for the changes of brightness along the path.
    shape : (int, int)
        (ny, nx) in pixels.
    passage : Passage
        What passes.
    fwhm : float
        Of a star, pixels.

    Returns
    -------
    light : (ny, nx) float64
        In units of the noise of the sky.
    path : (ny, nx) bool
        Within half the greatest light across a path, lit or not.
    """
    x0, y0, x1, y1 = passage.ends
    length = float(np.hypot(x1 - x0, y1 - y0))
    cos, sin = (x1 - x0) / length, (y1 - y0) / length
    y, x = np.ogrid[: shape[0], : shape[1]]
    along = (x - x0) * cos + (y - y0) * sin
    across = (y - y0) * cos - (x - x0) * sin
    across = across - passage.sagitta * (1 - ((2 * along / length) - 1) ** 2)
    offsets, profile = _profile(fwhm, passage.ring)
    peak = passage.snr / (_BOX * fwhm)
    if passage.ring:  # the same light a pixel of path, spread over the width
        peak *= 1.06 * fwhm / max(float(profile.sum() * (offsets[1] - offsets[0])), 1e-9)
        peak *= uniform(rng, (1.0, 3.0))
    ends = _smooth_step(along / max(fwhm, 2)) * _smooth_step((length - along) / max(fwhm, 2))
    light, path = np.zeros(shape), np.zeros(shape, dtype=bool)
    knots = np.arange(0, length + 1, 0.5)
    for lane in passage.lanes:
        bright = np.interp(along, knots, _brightness(rng, knots, passage.kind, fwhm))
        ridge = np.interp(across - lane, offsets, profile, left=0, right=0) * ends
        light += peak * ridge * bright
        path |= ridge > 0.5  # noqa: PLR2004 - half the greatest
    return light, path


def _smooth_step(value: NDArray[np.float64]) -> NDArray[np.float64]:
    t = np.clip(0.5 + value / 2, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _profile(fwhm: float, ring: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the profile across a path, 1 at its greatest: a star's, or that of a blurred ring."""
    from scipy.ndimage import gaussian_filter1d  # noqa: PLC0415 - slow to import

    step = 0.1
    reach = ring / 2 + 8 * fwhm
    r = np.arange(-reach, reach + step, step)
    # A line of Moffat stars (beta 3) is a Moffat function with an exponent less by a half.
    alpha = fwhm / 2 / np.sqrt(2 ** (1 / 3) - 1)
    line = (1 + (r / alpha) ** 2) ** -2.5
    if ring > fwhm / 2:
        outer, inner = (ring / 2) ** 2 - r**2, (0.4 * ring / 2) ** 2 - r**2
        chord = np.sqrt(np.clip(outer, 0, None)) - np.sqrt(np.clip(inner, 0, None))
        line = gaussian_filter1d(chord, fwhm / _SIGMA / step)
    return r, np.asarray(line / line.max())


def _brightness(
    rng: np.random.Generator, along: NDArray[np.float64], kind: str, fwhm: float
) -> NDArray[np.float64]:
    """Return the light along the path, 1 where steady."""
    from scipy.ndimage import gaussian_filter1d  # noqa: PLC0415 - slow to import

    phase = uniform(rng, (0, 1))
    light = np.ones(along.size)
    if kind in {"dashed", "aircraft"}:
        period = log_uniform(rng, (5, 40)) * max(fwhm, 2)
        on = uniform(rng, (0.15, 0.65)) if kind == "dashed" else uniform(rng, (0.05, 0.3))
        light = ((along / period + phase) % 1 < on).astype(float)
    elif kind == "tumbling":
        period = log_uniform(rng, (30, 300))
        glint = np.abs(np.cos(np.pi * (along / period + phase))) ** log_uniform(rng, (1, 30))
        light = uniform(rng, (0, 0.4)) + glint
    elif kind == "flare":
        place, width = uniform(rng, (0.3, 0.7)) * along[-1], log_uniform(rng, (15, 150))
        light = 0.3 + uniform(rng, (1, 5)) / (1 + ((along - place) / width) ** 2)
    elif kind == "gaps":
        for _ in range(whole(rng, (1, 4))):
            first = uniform(rng, (0.25, 0.75)) * along[-1]
            light[(along > first) & (along < first + log_uniform(rng, (10, 90)))] = 0
    elif kind == "meteor":
        light = np.sin(np.pi * along / along[-1]) ** uniform(rng, (0.5, 2))
    jitter = gaussian_filter1d(rng.standard_normal(along.size), 12)
    light = light * (1 + uniform(rng, (0, 0.15)) * jitter / max(float(jitter.std()), 1e-12))
    # A star's width along the path blurs what goes on and off.
    blurred = gaussian_filter1d(light, max(fwhm / _SIGMA, 0.5) / 0.5)
    return np.asarray(np.clip(blurred, 0, None))
