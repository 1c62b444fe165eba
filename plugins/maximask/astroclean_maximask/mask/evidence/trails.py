"""TRAIL: straight, long, and no fainter at its ends, or from border to border."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean_maximask.mask.evidence.strips import components, widened

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean_maximask.mask.evidence.strips import Strip

__all__ = ["SHORTEST_INSIDE", "SLENDER", "SLENDER_INSIDE", "is_level", "keep_trails"]

_JOINED = 3
"""Pixels by which flags are widened before they are groups."""
_PAIRS = 256
_POINTS = 3000
_THIN = 2.5
"""Half width in pixels within which a first guess of a line must gather pixels."""
_WIDEST = 60.0
"""Half width of a meteor out of focus: 8 m of mirror at 80 km, in pixels of 0.17 arcsec."""
_SHORTEST = 40.0
"""Pixels that a trail from border to border has at least."""
SHORTEST_INSIDE = 150.0
"""Pixels that a trail with an end in the frame has at least: few discs are as long."""
SLENDER = 4.0
"""Length over full width."""
SLENDER_INSIDE = 8.0
_BIN = 12
"""Pixels of length that are averaged."""
_GAP = 64
"""Pixels of length that the network may have missed."""
_AT_BORDER = 56
"""Pixels before the border where the network may have stopped, or an overscan lies."""
_SEEN = 2.0
"""Standard deviations from which a bin of the line is light."""
_LIT = 0.7
"""Share of the bins with light."""
_FILLED = 0.6
"""Share of the length that the network flagged."""
_BRIGHTEST = 1.5
"""Most light of a trail with both ends in the frame, over its median."""
_BRIGHTEST_CUT = 2.5
"""The same of one that the border cuts: some flare."""
_FAINTEST = 0.6
"""Light of an end over that of what follows: of an exponential disc, of which three scale lengths
are seen from the middle to the end, it is half of that, or twice where the middle is the end."""
_TRIES = 3
"""Trails that cross in one group."""


@dataclass(frozen=True)
class _Line:
    """A line ``place + t * along``, with a half width."""

    place: tuple[float, float]
    """(y, x)."""
    along: tuple[float, float]
    """(y, x), of length 1."""
    width: float
    """Half of it, in pixels."""

    def coordinates(self, y: NDArray, x: NDArray) -> tuple[NDArray, NDArray]:  # type: ignore[type-arg]
        """Return place along the line and distance from it."""
        dy, dx = y - self.place[0], x - self.place[1]
        return (
            dy * self.along[0] + dx * self.along[1],
            dx * self.along[0] - dy * self.along[1],
        )

    def within(self, rows: slice, width: int) -> tuple[float, float]:
        """Return where the line enters and leaves rows of a frame of this width."""
        first, last = -np.inf, np.inf
        limits = ((rows.start, rows.stop - 1), (0, width - 1))
        for start, step, (low, high) in zip(self.place, self.along, limits, strict=True):
            if abs(step) < 1e-9:  # noqa: PLR2004 - along the axis
                continue
            ends = sorted(((low - start) / step, (high - start) / step))
            first, last = max(first, ends[0]), min(last, ends[1])
        return first, last


def keep_trails(strip: Strip, found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of trails.

    Parameters
    ----------
    strip : Strip
        What was observed.
    found : (ny, nx) bool
        What the network takes for trails.

    Returns
    -------
    (ny, nx) bool
        Of these: pixels along straight lines of one width, which cross the strip from border to
        border, or are long and end as bright as they are in the middle. Arcs bend, discs fade.
    """
    kept = np.zeros_like(found)
    if not found.any():
        return kept
    y, x = np.nonzero(found)
    # The network leaves gaps where a trail is faint; those of few pixels are no ends.
    for box, group in components(widened(found, _JOINED)):
        if np.hypot(*group.shape) < _SHORTEST:
            continue
        rest = found[box] & group & ~kept[box]
        for _ in range(_TRIES):
            rows, columns = np.nonzero(rest)
            if len(rows) < _SHORTEST:
                break
            line = _fitted(rows + box[0].start, columns + box[1].start)
            if line is None:
                break
            t, u = line.coordinates(y, x)
            near = np.abs(u) <= line.width + 2
            extent = _extent(t[near], line, strip)
            if extent is not None and _is_trail(strip, line, extent, found):
                chosen = near & (t >= extent[0]) & (t <= extent[1])
                kept[y[chosen], x[chosen]] = True
            t, u = line.coordinates(rows + box[0].start, columns + box[1].start)
            gone = np.abs(u) <= line.width + 2
            rest[rows[gone], columns[gone]] = False
    return kept


def _fitted(y: NDArray[np.intp], x: NDArray[np.intp]) -> _Line | None:
    """Return the line that gathers most of the pixels; None where there is none."""
    step = -(-len(y) // _POINTS)
    places = np.stack([y[::step], x[::step]], axis=1).astype(float)
    rng = np.random.default_rng(0)  # the same pixels give the same line
    pairs = places[rng.integers(len(places), size=(_PAIRS, 2))]
    along = pairs[:, 1] - pairs[:, 0]
    length = np.hypot(*along.T)
    far = length >= np.median(length)
    along, start = along[far] / length[far, np.newaxis].clip(1), pairs[far, 0]
    apart = places[np.newaxis] - start[:, np.newaxis]
    across = np.abs(
        apart[..., 1] * along[:, np.newaxis, 0] - apart[..., 0] * along[:, np.newaxis, 1]
    )
    best = int(np.argmax((across <= _THIN).sum(axis=1)))
    line = _Line(tuple(start[best]), tuple(along[best]), _THIN)
    for _ in range(8):
        _, u = line.coordinates(places[:, 0], places[:, 1])
        near = places[np.abs(u) <= max(1.5 * line.width, line.width + 1)]
        if len(near) < 8:  # noqa: PLR2004 - too few for a direction
            return None
        middle = near.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov((near - middle).T))
        # A strip of half width w that is filled evenly has a variance of w**2 / 3.
        width = float(np.clip(np.sqrt(3 * max(values[0], 0)), 1.0, _WIDEST))
        line = _Line(tuple(middle), tuple(vectors[:, 1]), width)
    return line


def _extent(t: NDArray[np.float64], line: _Line, strip: Strip) -> tuple[float, float] | None:
    """Return the ends of the longest run of flagged pixels along a line."""
    if not len(t):
        return None
    t = np.sort(t)
    breaks = np.flatnonzero(np.diff(t) > _GAP)
    starts, stops = np.append(0, breaks + 1), np.append(breaks, len(t) - 1)
    longest = int(np.argmax(t[stops] - t[starts]))
    first, last = float(t[starts[longest]]), float(t[stops[longest]])
    enters, leaves = line.within(strip.own, strip.data.shape[1])
    side = min(strip.own.stop - strip.own.start, strip.data.shape[1])
    reach = min(_AT_BORDER, side / 9) + line.width
    return (
        enters - reach if first - enters <= reach else first,
        leaves + reach if leaves - last <= reach else last,
    )


def _is_trail(
    strip: Strip, line: _Line, extent: tuple[float, float], found: NDArray[np.bool_]
) -> bool:
    """Return whether what is seen along a line, between two ends, is a trail and no galaxy."""
    from scipy.ndimage import median_filter  # noqa: PLC0415 - heavy

    enters, leaves = line.within(strip.own, strip.data.shape[1])
    first, last = max(extent[0], enters), min(extent[1], leaves)
    length, width = last - first, 2 * line.width + 1
    crosses = (extent[0] < enters, extent[1] > leaves)
    if length < _SHORTEST or length < SLENDER * width:
        return False
    light, noise, filled = _profile(strip, line, (first, last), found)
    if not len(light) or np.mean(light > _SEEN * noise) < _LIT or filled < _FILLED:
        return False
    smooth = median_filter(light, 3, mode="nearest")
    tails = (is_level(smooth), is_level(smooth[::-1]))
    brightest = np.quantile(smooth, 0.95) / np.median(smooth)
    is_long = length >= SHORTEST_INSIDE
    if all(crosses):
        # In a corner, a disc may lie from border to border.
        return (is_long and any(tails)) or bool(brightest <= _BRIGHTEST_CUT)
    if not is_long or length < SLENDER_INSIDE * width:
        return False
    if any(crosses):
        return any(tails) and bool(brightest <= _BRIGHTEST_CUT)
    return all(tails) and bool(brightest <= _BRIGHTEST)


def is_level(light: NDArray[np.float64]) -> bool:
    """Return whether the first sixth of a profile is as bright as the third that follows."""
    sixth = max(len(light) // 6, 1)
    end, next_to_it = np.median(light[:sixth]), np.median(light[sixth : 3 * sixth])
    return bool(_FAINTEST * next_to_it <= end <= next_to_it / _FAINTEST)


def _profile(
    strip: Strip, line: _Line, extent: tuple[float, float], found: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], float, float]:
    """Return the light of bins along a line, its standard deviation, and the share flagged."""
    core = max(round(line.width * 0.7), 1)
    beside = max(core, 4)
    gap = round(line.width) + 3
    inner, outer = np.arange(-core, core + 1), np.arange(gap, gap + beside)
    u = np.concatenate([inner, outer, -outer])
    t = np.arange(extent[0], extent[1])
    rows = np.round(line.place[0] + t[:, None] * line.along[0] - u * line.along[1]).astype(int)
    columns = np.round(line.place[1] + t[:, None] * line.along[1] + u * line.along[0]).astype(int)
    ny, nx = strip.data.shape
    # A line along a border has its outer pixels on it.
    rows, columns = np.clip(rows, 0, ny - 1), np.clip(columns, 0, nx - 1)
    count = len(t) // _BIN
    if not count:
        return np.zeros(0), 1.0, 0.0
    used = strip.light[rows, columns][: count * _BIN].reshape(count, _BIN, -1)
    ridge = np.median(used[..., : len(inner)].mean(axis=2), axis=1)
    light = (ridge - np.median(used[..., len(inner) :], axis=(1, 2))).astype(np.float64)
    flagged = found[rows, columns][:, : len(inner)]
    # Medians scatter 1.25 times as much as means.
    noise = 1.25 / np.sqrt(_BIN) * np.sqrt(1 / len(inner) + 1 / (2 * beside))
    return light, float(noise), float(flagged.any(axis=1).mean())
