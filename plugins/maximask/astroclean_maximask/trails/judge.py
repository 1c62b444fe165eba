"""Is a line a trail? Long, of one width, lit along its length; no spike, disc, arc, column."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean_maximask.mask.evidence.trails import (
    SHORTEST_INSIDE,
    SLENDER,
    SLENDER_INSIDE,
    is_level,
)
from astroclean_maximask.trails.path import sampled
from astroclean_maximask.trails.profile import across, along, lit_chunks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from astroclean_maximask.trails.follow import Followed
    from astroclean_maximask.trails.maps import Sky
    from astroclean_maximask.trails.path import Path, Strip
    from astroclean_maximask.trails.profile import Across

__all__ = ["Limits", "Trail", "judged"]

_WITH_NETWORK = 5.5
"""Significance that is enough where the network says the same."""
_WIDE = 30.0
"""Full width in pixels from which the network must say the same: the sky has wide ridges."""
_WIDE_OF_STAR = 2.0
"""Of the width of stars, the same for a line with an end in the frame: halos of two stars."""
_SUPPORT = 0.1
"""Mean probability of the network along a line that supports it. All limits on probabilities of the
plugin are this one and that of the search."""
_PIECES = 12
"""Pieces of which the light is compared."""
_SEEN, _MEDIAN_SHARE, _PIECE_SHARE = 0.75, 0.5, 0.25
"""Share of the pieces with light, and of the mean what the median piece has, and each one seen."""
_SEEN_DASHED = 0.45
"""Share of the pieces with light of a trail that is dashed or flashes: several of them are dark."""
_MOST_OF_ONE = 0.4
"""Share of all light that one piece has at most."""
_PIECE_SIGMA, _GAP_SIGMA = 3.0, 5.0
"""Significance of a piece, in the mean: of any line, and of one that has gaps, which chance and
faint stars have too."""
_FEWEST_PIECES = 4
_NARROWEST = 1.6
"""Full width in pixels below which lines are tracks of particles or columns: no optics are as
sharp."""
_NARROWER = 12.0
"""Chi-square by which a narrower line must fit better."""
_OF_STAR = 0.6
"""Of the width of stars, what a trail has at least: what is sharper is no light."""
_STEP, _TOLD, _WANDERS = 8, 8.0, 0.25
"""Pixels of a piece, its least significance, and how far off the line pieces may be, in widths."""
_TOLD_ROW, _WANDERS_ROW = 5.0, 0.22
"""The same where small sources are not masked."""
_ROW_WIDTH = 1.45
"""Width of dashes over that of a star, at most; stars on both sides of a line are twice as wide."""
_ROW_SAGITTA = 0.003
_BORDER = 12.0
"""Pixels before the border from which a line is cut by it."""
_STAR = 40.0
"""Star over spike, at least."""
_STAR_SIGMA = 60.0
_STAR_REACH = 4.0
"""Widths around a star that do not tell whether its arm fades."""
_FARTHEST = 120.0
"""Pixels beyond the ends of a line where its star may be: a halo hides where an arm begins."""
_CENTRAL = 0.2
"""Of the length, how near the middle of a line with two ends its star is if they are its arms."""
_SAGITTA, _LEAST_SAGITTA = 0.012, 4.0
_BOTH_SIDES = 0.25
"""Share of the pixels that are known on either side: along a border the sky is not told."""


@dataclass(frozen=True)
class Limits:
    """What makes a line a trail."""

    nsigma: float
    min_length: float
    """Pixels."""
    widest: float
    """Pixels."""
    axis_margin: float
    """Degrees."""
    wings: float
    """Standard deviations of a pixel."""
    star_fwhm: float = 0.0
    """Full width of stars in pixels; 0 where it is not known."""


@dataclass(frozen=True, eq=False)
class Trail:
    """A trail as it lies on the frame."""

    path: Path
    span: tuple[float, float]
    across: Across
    edges: tuple[float, float]
    """Of what is flagged, in ``u``."""
    strip: Strip
    """Along the span, wide enough for its sky."""
    significance: float
    support: float
    """Mean probability of the network along it, above that beside it."""
    ends_at_border: int
    """How many of its ends the border of the frame cuts off."""

    @property
    def length(self) -> float:
        """In pixels."""
        return self.span[1] - self.span[0]

    @property
    def sagitta(self) -> float:
        """Height of the arc over its chord, in pixels; positive where it bends towards -u."""
        return -self.path.bend * self.length**2 / 8

    def ends(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return (y, x) of both ends of the middle of the profile."""
        first, last = (self.path.at(t, self.across.middle) for t in self.span)
        return (float(first[0]), float(first[1])), (float(last[0]), float(last[1]))


def judged(
    sky: Sky,
    line: Followed,
    limits: Limits,
    probability: NDArray[np.float32],
    *,
    dashed: bool = False,
) -> Trail | str:
    """Return the trail that a line is, or why it is none.

    Parameters
    ----------
    sky : Sky
        Of the frame.
    line : Followed
        What was found.
    limits : Limits
        What makes a trail.
    probability : (my, mx) float32
        The network's, of the cells.
    dashed : bool
        Whether small sources were left in the sky: the line may be a row of stars.

    Returns
    -------
    Trail or str
        One word where it is none: for tests and logs.
    """
    half = math.ceil(3 * line.half_width) + 24
    strip = sampled(sky, line.path, line.span, half)
    profile = across(strip, lit_chunks(line), line.half_width)
    if profile is None:
        return "nothing"
    support = _support(probability, line)
    at_border = _ends_at_border(line, sky.shape)
    needed = limits.nsigma
    if support >= _SUPPORT:
        needed = min(needed, _WITH_NETWORK)
    significance = min(line.significance, profile.significance)
    if significance < needed:
        return "faint"
    trail = Trail(
        line.path,
        line.span,
        profile,
        profile.edges(limits.wings),
        strip,
        significance,
        support,
        at_border,
    )
    fault = _shape_fault(trail, limits) or _light_fault(trail, sky, limits)
    if fault is None and dashed and support < _SUPPORT:
        fault = _row_fault(trail, limits)
    return fault or trail


def _support(probability: NDArray[np.float32], line: Followed) -> float:
    """Return the mean probability of the network along a line, over that beside it."""
    from astroclean_maximask.trails.maps import BIN  # noqa: PLC0415

    t = np.arange(line.span[0], line.span[1], BIN)
    my, mx = probability.shape
    far = 2 * line.half_width + 3 * BIN
    values = []
    for u in (0.0, -far, far):
        y, x = line.path.at(t, u)
        rows = np.clip(np.rint(y).astype(int) // BIN, 0, my - 1)
        columns = np.clip(np.rint(x).astype(int) // BIN, 0, mx - 1)
        values.append(float(np.nanmean(probability[rows, columns])) if len(t) else 0.0)
    return values[0] - max(values[1:])


def _ends_at_border(line: Followed, shape: tuple[int, int]) -> int:
    enters, leaves = line.path.within(shape)
    reach = _BORDER + 2 * line.half_width
    return int(line.span[0] <= enters + reach) + int(line.span[1] >= leaves - reach)


def _shape_fault(trail: Trail, limits: Limits) -> str | None:
    """Return what of the shape of a line speaks against a trail."""
    fwhm, length = trail.across.fwhm, trail.length
    least = max(_NARROWEST, _OF_STAR * limits.star_fwhm)
    degrees = math.degrees(trail.path.angle) % 90
    is_cut = trail.ends_at_border == len(trail.span)
    of_star = _WIDE_OF_STAR * limits.star_fwhm
    widest = min(of_star, _WIDE) if of_star and not is_cut else _WIDE
    long_inside = max(SHORTEST_INSIDE, SLENDER_INSIDE * fwhm)
    faults = {
        "short": length < max(limits.min_length, SLENDER * fwhm),
        "short inside": not is_cut and length < long_inside,
        "one side": not _has_both_sides(trail),
        "wide": fwhm > limits.widest or (fwhm > widest and trail.support < _SUPPORT),
        "narrow": fwhm < least
        and trail.across.score(fwhm) ** 2 > trail.across.score(least) ** 2 + _NARROWER,
        "arc": abs(trail.sagitta) > max(_SAGITTA * length, _LEAST_SAGITTA),
        "axis": min(degrees, 90 - degrees) < limits.axis_margin,
    }
    return next((name for name, holds in faults.items() if holds), None)


def _has_both_sides(trail: Trail) -> bool:
    known = np.isfinite(trail.strip.values).mean(axis=0)
    low, high = trail.across.low - 2, trail.across.high + 2
    sides = known[trail.strip.u < low], known[trail.strip.u > high]
    return all(len(side) and float(side.mean()) >= _BOTH_SIDES for side in sides)


def _light_fault(trail: Trail, sky: Sky, limits: Limits) -> str | None:
    """Return what of the light along a line speaks against a trail."""
    pieces = int(np.clip((trail.significance / _PIECE_SIGMA) ** 2, 5, _PIECES))
    size = max(int(trail.length) // pieces, 1)
    light, error = along(trail.strip, trail.across, size)
    known = np.isfinite(light)
    if known.sum() < max(_FEWEST_PIECES, 0.4 * len(light)):
        return "unknown"
    light, error = light[known], error[known]
    mean = float(light.mean())
    seen = float(np.mean(light > _PIECE_SHARE * mean))
    steady = seen >= _SEEN and float(np.median(light)) >= _MEDIAN_SHARE * mean
    told = mean > _GAP_SIGMA * float(np.median(error))
    # The halos of two stars on a line are wider than dashes.
    wide = limits.star_fwhm and trail.across.fwhm > _ROW_WIDTH * limits.star_fwhm
    told = told and (trail.support >= _SUPPORT or not wide)
    faults: dict[str, Callable[[], bool]] = {
        "dark": lambda: mean <= 0,
        "gaps": lambda: not steady and not (told and seen >= _SEEN_DASHED),
        "wanders": lambda: _wanders(trail),
        "one piece": lambda: bool(light.max() > _MOST_OF_ONE * np.maximum(light, 0).sum()),
        "fades": lambda: trail.ends_at_border < len(trail.span) and _fades(light),
        "spike": lambda: _is_spike(trail, sky),
    }
    return next((name for name, holds in faults.items() if holds()), None)


def _row_fault(trail: Trail, limits: Limits) -> str | None:
    """Return what tells a row of stars: by chance they are on both sides of a line, or it bends."""
    if limits.star_fwhm and trail.across.fwhm > _ROW_WIDTH * limits.star_fwhm:
        return "row, wide"
    if abs(trail.sagitta) > max(_ROW_SAGITTA * trail.length, 1.0):
        return "row, bent"
    if trail.significance < limits.nsigma + 1:
        return "row, faint"
    return "row, wanders" if _wanders(trail, least=_TOLD_ROW, most=_WANDERS_ROW) else None


def _wanders(trail: Trail, least: float = _TOLD, most: float = _WANDERS) -> bool:
    """Return whether the light is now on one side, now on the other, as stars in a row are."""
    across = trail.across
    near = np.abs(trail.strip.u - across.middle) <= max(across.fwhm, 1.5)
    u = trail.strip.u[near] - across.middle
    count = len(trail.strip.t) // _STEP
    pieces = trail.strip.values[: count * _STEP, near].reshape(count, _STEP, -1)
    sums = np.nan_to_num(np.clip(pieces, -5, 5)).sum(axis=1)
    known = np.isfinite(pieces).mean(axis=(1, 2)) > 0.8  # noqa: PLR2004 - most
    light = sums.sum(axis=1)
    # Of a Gaussian with this width, the mean place scatters by its deviation over the S/N.
    bright = known & (light > least * np.sqrt(_STEP * len(u)))
    if bright.sum() < 5:  # noqa: PLR2004 - too faint to be told, piece by piece
        return False
    place = (sums[bright] * u).sum(axis=1) / light[bright]
    return float(np.sqrt(np.mean(np.clip(place, -across.fwhm, across.fwhm) ** 2))) > (
        most * across.fwhm
    )


def _fades(light: NDArray[np.float64]) -> bool:
    """Return whether light falls from one maximum towards the ends, as that of a disc does."""
    if is_level(light) and is_level(light[::-1]):
        return False
    rises = np.diff(light) > 0
    return int(np.count_nonzero(rises[1:] != rises[:-1])) <= max(len(light) // 4, 2)


def _is_spike(trail: Trail, sky: Sky) -> bool:
    """Return whether a bright star lies on a line that fades away from it.

    No spike fades less than as one over the distance; what is rather the same all along is none.
    """
    place = _star_on(trail, sky)
    if place is None:
        return False
    first, last = trail.span
    inside = trail.ends_at_border == 0
    if inside and abs(place - 0.5 * (first + last)) < _CENTRAL * trail.length:
        return True
    size = 8
    light, _ = along(trail.strip, trail.across, size)
    distance = np.abs(trail.strip.t[0] + (np.arange(len(light)) + 0.5) * size - place)
    # Not the star itself, which is masked only where it is large.
    known = np.isfinite(light) & (distance > _STAR_REACH * trail.across.fwhm + size)
    if known.sum() < 6:  # noqa: PLR2004 - nothing to compare
        return True
    light, distance = light[known], distance[known]
    level, fading = (
        float(((light - shape * (light @ shape) / (shape @ shape)) ** 2).sum())
        for shape in (np.ones(len(light)), 1 / distance)
    )
    return fading < level


def _star_on(trail: Trail, sky: Sky) -> float | None:
    """Return the place of the brightest star on a line, where it may have such a spike."""
    span = (trail.span[0] - _FARTHEST, trail.span[1] + _FARTHEST)
    half = math.ceil(trail.across.fwhm) + 2
    whole = sampled(sky, trail.path, span, half, compact=True)
    light = np.nan_to_num(whole.values).max(axis=1)
    index = int(np.argmax(light))
    bright = light[index] >= max(_STAR * trail.across.peak, _STAR_SIGMA)
    return float(whole.t[index]) if bright else None
