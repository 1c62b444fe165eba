"""The profile across a trail, and the light along it."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from astropy.stats import mad_std

from astroclean_maximask.trails.follow import CHUNK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean_maximask.trails.follow import Followed
    from astroclean_maximask.trails.path import Strip

    Floats = NDArray[np.float64]

__all__ = ["Across", "across", "along", "lit_chunks"]

_MEDIAN_SCATTER = 1.2533
"""Medians scatter so much more than means."""
_LIT = 0.5
"""Of the mean light, from which a chunk is lit."""
_TOLD = 3.0
"""Standard deviations of a chunk by which lit and dark are told apart."""
_FEWEST = 4
_PER_SIGMA = 2.3548
_CLEAR = 15.0
"""Standard deviations of the highest value from which half of it can be looked for."""


@dataclass(frozen=True, eq=False)
class Across:
    """The mean profile of a trail."""

    u: Floats
    """Pixels across."""
    light: Floats
    """Above the sky beside it, in standard deviations of a pixel."""
    error: float
    """Of each value; of lines beside the trail where these scatter more than noise."""
    low: float
    high: float
    """Where it falls below half of its maximum, at the outermost."""

    @property
    def peak(self) -> float:
        """Highest value of the profile, of three pixels together where noise is large."""
        return float(self.light.max(initial=0.0))

    @property
    def fwhm(self) -> float:
        """Full width at half of the maximum, in pixels."""
        return self.high - self.low

    @property
    def middle(self) -> float:
        """Between the two, in ``u``."""
        return 0.5 * (self.low + self.high)

    @property
    def significance(self) -> float:
        """Of the light within the full width, over parallel lines beside it."""
        core = (self.u >= self.low) & (self.u <= self.high)
        if not core.any() or self.error <= 0:
            return 0.0
        return float(self.light[core].sum()) / (self.error * math.sqrt(core.sum()))

    def score(self, fwhm: float) -> float:
        """Return the root of the chi-square that a Gaussian of this width explains."""
        sigma = fwhm / _PER_SIGMA
        best = 0.0
        for shift in np.arange(-1.5, 1.6, 0.25):
            shape = np.exp(-0.5 * ((self.u - self.middle - shift) / sigma) ** 2)
            value = float((self.light * shape).sum()) / math.sqrt(float((shape**2).sum()))
            best = max(best, value / self.error)
        return best

    def edges(self, floor: float) -> tuple[float, float]:
        """Return from where to where the light is above a floor, without a gap; ``u``."""
        level = max(floor, 3 * self.error)
        index = int(np.argmin(np.abs(self.u - self.middle)))
        first = last = index
        inner = (self.u >= self.low) & (self.u <= self.high)
        while first > 0 and (self.light[first - 1] > level or inner[first - 1]):
            first -= 1
        while last < len(self.u) - 1 and (self.light[last + 1] > level or inner[last + 1]):
            last += 1
        return float(self.u[first]) - 0.5, float(self.u[last]) + 0.5


def lit_chunks(line: Followed) -> NDArray[np.bool_]:
    """Return the chunks that hold light, or all that are known where noise hides which do."""
    seen = line.weight > 0
    if not seen.any():
        return seen
    level = float((line.weight * line.light).sum() / line.weight.sum())
    if level * math.sqrt(float(np.median(line.weight[seen]))) < _TOLD:
        return seen
    lit = seen & (line.light > _LIT * level)
    return lit if lit.any() else seen


def across(strip: Strip, lit: NDArray[np.bool_], half_width: float) -> Across | None:
    """Return the profile across a line.

    Parameters
    ----------
    strip : Strip
        Along the line, with sky on both sides.
    lit : (chunks,) bool
        The pieces to use.
    half_width : float
        Of the line, roughly, in pixels.

    Returns
    -------
    Across or None
        None where nothing stands out.
    """
    rows = np.repeat(lit, CHUNK)[: len(strip.t)]
    used = strip.values[: len(rows)][rows]
    number = np.isfinite(used).sum(axis=0)
    if not len(used) or number.max() < _FEWEST:
        return None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="All-NaN slice")
        light = np.nanmedian(used, axis=0).astype(np.float64)
    error = _MEDIAN_SCATTER / math.sqrt(max(float(np.median(number)), 1.0))
    outside = (np.abs(strip.u) > 2 * half_width + 2) & np.isfinite(light)
    if outside.sum() < _FEWEST:
        return None
    sky = light[outside]
    light = np.nan_to_num(light - np.median(sky))
    error = max(error, float(mad_std(sky)))
    near = np.abs(strip.u) <= half_width + 2
    smooth = np.convolve(light, [0.25, 0.5, 0.25], mode="same")
    top = float(smooth[near].max(initial=0.0))
    if top <= 0:
        return None
    top = max(top, float(light[near].max())) if float(light[near].max()) > 8 * error else top
    low, high = _half_maximum(strip.u, light, near, top, error)
    if top < _CLEAR * error:
        low, high = _matched(strip.u, light, near)
    return Across(strip.u, light, error, low, high)


def _matched(u: Floats, light: Floats, near: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the half maxima of the Gaussian that explains most of a profile."""
    best = (-np.inf, 0.0, 1.0)
    fwhm, widest = 1.0, float(np.ptp(u[near]))
    while fwhm <= max(widest, 2.0):
        middles = np.arange(float(u[near][0]), float(u[near][-1]) + 0.25, 0.5)
        shapes = np.exp(-0.5 * ((u - middles[:, None]) * _PER_SIGMA / fwhm) ** 2)
        scores = (shapes * light).sum(axis=1) / np.sqrt((shapes**2).sum(axis=1))
        index = int(np.argmax(scores))
        if scores[index] > best[0]:
            best = (float(scores[index]), float(middles[index]), fwhm)
        fwhm *= 1.15
    _, middle, fwhm = best
    return middle - fwhm / 2, middle + fwhm / 2


def _half_maximum(
    u: Floats, light: Floats, near: NDArray[np.bool_], top: float, error: float
) -> tuple[float, float]:
    """Return the outermost places, near the line, where a profile crosses half of its top."""
    above = np.flatnonzero(near & (light >= max(0.5 * top, min(2 * error, 0.8 * top))))
    first, last = int(above[0]), int(above[-1])
    low, high = float(u[first]) - 0.5, float(u[last]) + 0.5
    if first > 0 and light[first] > light[first - 1]:
        step = (light[first] - 0.5 * top) / (light[first] - light[first - 1])
        low = float(u[first]) - min(step, 1.0)
    if last < len(u) - 1 and light[last] > light[last + 1]:
        step = (light[last] - 0.5 * top) / (light[last] - light[last + 1])
        high = float(u[last]) + min(step, 1.0)
    return low, high


def along(strip: Strip, profile: Across, size: int) -> tuple[Floats, Floats]:
    """Return the light of pieces along a line, not clipped, and its standard deviation.

    Parameters
    ----------
    strip : Strip
        Along the line.
    profile : Across
        Tells the core.
    size : int
        Pixels of a piece.

    Returns
    -------
    light, error : (n,) float64
        Mean over the core above the sky beside, in standard deviations of a pixel, of which half of
        the rows of a piece have less; NaN, and infinite, where it is not known.
    """
    core = (strip.u >= profile.low - 0.5) & (strip.u <= profile.high + 0.5)
    beyond = profile.fwhm + 2
    beside = np.abs(strip.u - profile.middle) > beyond
    count = len(strip.t) // size
    pieces = strip.values[: count * size].reshape(count, size, -1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Mean of empty slice|All-NaN slice")
        inner = np.nanmedian(np.nanmean(pieces[..., core], axis=2), axis=1)
        sky = np.nanmedian(pieces[..., beside].reshape(count, -1), axis=1)
    n = np.isfinite(pieces[..., core]).sum(axis=(1, 2))
    m = np.isfinite(pieces[..., beside]).sum(axis=(1, 2))
    known = (n >= 0.3 * size * core.sum()) & (m >= size)
    light = np.where(known, inner - sky, np.nan).astype(np.float64)
    error = _MEDIAN_SCATTER * np.sqrt(1 / np.maximum(n, 1) + 1 / np.maximum(m, 1))
    return light, np.where(known, error, np.inf)
