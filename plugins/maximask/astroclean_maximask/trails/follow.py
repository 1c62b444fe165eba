"""From a candidate to the line on the pixels: where it lies, how it bends, where it ends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean_maximask.trails.maps import BIN
from astroclean_maximask.trails.path import Path, Strip, sampled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean_maximask.trails.maps import Sky
    from astroclean_maximask.trails.search import Candidate

__all__ = ["CHUNK", "Followed", "follow", "lit_segment"]

CHUNK = 8
"""Pixels along the line that are taken together."""
_CLIP = 5.0
"""Standard deviations of a pixel at which values are cut while the line is looked for."""
_PIECES = 48
"""Pieces by which shift, turn and bend are found."""
_ROUNDS = 7
_GROWTH = 1.5
"""Lengths by which the line may grow at either end in a round."""
_SAGITTA = 0.012
"""Height of the arc over its chord, at most: orbits and distortions bend no more."""
_LEAST_SAGITTA = 3.0
_FAINT = 0.35
"""Of the mean light: twice what a part of the trail has at least, where noise lets one tell."""
_TELLING = 6.0
"""Chunks that together tell light from none."""
_BESIDE = 10
"""Pixels on either side that tell the sky beside the line."""
_GAP = 2
_LEAST = 4.5
"""Significance below which a candidate is not followed."""


@dataclass(frozen=True, eq=False)
class Followed:
    """A line that stands out, and its light."""

    path: Path
    span: tuple[float, float]
    """From and to, in ``t``."""
    half_width: float
    """Of the box across that holds the light best, in pixels."""
    strip: Strip
    """Along the span."""
    light: NDArray[np.float64]
    """Mean over the box above the sky beside it, of each `CHUNK` pixels, clipped."""
    weight: NDArray[np.float64]
    """Inverse variance of the light; 0 where nothing is known."""

    @property
    def significance(self) -> float:
        """Of the light as a whole."""
        total = float(self.weight.sum())
        return float((self.weight * self.light).sum()) / math.sqrt(total) if total > 0 else 0.0


def follow(sky: Sky, candidate: Candidate, *, widest: float) -> Followed | None:
    """Return the line near a candidate.

    Parameters
    ----------
    sky : Sky
        Of the frame.
    candidate : Candidate
        A piece of it, in cells.
    widest : float
        Pixels.

    Returns
    -------
    Followed or None
        None where nothing is left of it on the pixels.
    """
    (y0, x0), (y1, x1) = (
        tuple((c + 0.5) * BIN - 0.5 for c in end) for end in (candidate.start, candidate.end)
    )
    path = Path((y0 + y1) / 2, (x0 + x1) / 2, math.atan2(y1 - y0, x1 - x0))
    length = math.hypot(y1 - y0, x1 - x0)
    span = _inside(path, (-length / 2, length / 2), sky.shape)
    width = min(BIN * candidate.width, widest)
    slack = 1.5 * BIN + width / 2
    half = math.ceil(max(1.5 * width, width + _GAP + _BESIDE) + slack)
    half_width = width / 2
    for number in range(_ROUNDS):
        if span[1] - span[0] < 4 * CHUNK:
            return None
        bends = number > 0
        strip = sampled(sky, path, span, half)
        path, half_width, score = _aligned(strip, path, slack, widest, bends)
        if score < _LEAST:
            return None
        middle = 0.5 * (span[0] + span[1])
        span = _inside(path, (span[0] - middle, span[1] - middle), sky.shape)
        slack = 3.0
        half = math.ceil(max(3 * half_width, 2 * half_width + _GAP + _BESIDE) + slack)
        reach = _GROWTH * (span[1] - span[0])
        wide = _inside(path, (span[0] - reach, span[1] + reach), sky.shape)
        strip = sampled(sky, path, wide, half)
        light, weight = _light(strip, half_width)
        start, end = lit_segment(
            light, weight, ((span[0] - strip.t[0]) / CHUNK, (span[1] - strip.t[0]) / CHUNK)
        )
        grown = (float(strip.t[0]) + start * CHUNK, float(strip.t[0]) + end * CHUNK)
        grown = (grown[0], min(grown[1], float(strip.t[-1])))
        same = max(abs(a - b) for a, b in zip(grown, span, strict=True)) <= 2 * CHUNK
        span = grown
        if same and number > 1:
            break
    if end - start < 4:  # noqa: PLR2004 - chunks; too short for any line
        return None
    rows = slice(start * CHUNK, end * CHUNK)
    own = Strip(strip.values[rows], strip.t[rows], strip.u)
    return Followed(path, span, half_width, own, light[start:end], weight[start:end])


def _inside(path: Path, span: tuple[float, float], shape: tuple[int, int]) -> tuple[float, float]:
    enters, leaves = path.within(shape)
    return max(span[0], enters), min(span[1], leaves)


def _chunks(strip: Strip, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return clipped sums and numbers of known pixels of pieces of ``count`` rows."""
    rows = -len(strip.t) % count
    padded = np.pad(strip.values, ((0, rows), (0, 0)), constant_values=np.nan)
    pieces = padded.reshape(-1, count, padded.shape[1])
    known = np.isfinite(pieces)
    clipped = np.clip(np.where(known, pieces, 0), -_CLIP, _CLIP)
    return clipped.sum(axis=1, dtype=np.float64), known.sum(axis=1).astype(np.float64)


def _aligned(
    strip: Strip, path: Path, slack: float, widest: float, bends: bool
) -> tuple[Path, float, float]:
    """Return the path moved to where the strip is brightest, half its width, its significance."""
    length = float(strip.t[-1] - strip.t[0])
    total, count = _chunks(strip, max(math.ceil(len(strip.t) / _PIECES), CHUNK))
    # The sky beside, piece by piece: halos are smooth across.
    mean = total.sum(axis=1, keepdims=True) / np.maximum(count.sum(axis=1, keepdims=True), 1)
    total = total - mean * count
    place = np.linspace(-1, 1, len(total))
    most = min(max(_SAGITTA * length, _LEAST_SAGITTA), slack + 3) if bends else 0.0
    turns = np.arange(-slack, slack + 0.25, 0.5)
    arcs = np.arange(-np.floor(most), np.floor(most) + 1)
    best: tuple[float, ...] = (-np.inf, 0.0, 0.0, 0.0, 1.0)

    def better(turns: NDArray[np.float64], arc: float) -> tuple[float, ...]:
        told = best
        for turn in turns[np.argsort(np.abs(turns), kind="stable")]:  # of equals the least
            shifts = np.rint(turn * place + arc * (place**2 - 0.5)).astype(int)
            sums, known = _shifted(total, shifts), _shifted(count, shifts)
            score, where, size = _brightest(sums, known, strip.u, slack, widest)
            if score > told[0] + 1e-9:
                told = (score, where, float(turn), arc, size)
        return told

    best = better(turns, 0.0)
    near = best[2]
    for arc in arcs[np.argsort(np.abs(arcs), kind="stable")]:
        if arc:
            best = better(near + np.array([0.0, -0.5, 0.5]), float(arc))
    _, where, turn, arc, size = best
    middle, semi = 0.5 * float(strip.t[0] + strip.t[-1]), max(length / 2, 1.0)
    moved = path.moved(middle, where - 0.5 * arc, turn / semi, 2 * arc / semi**2)
    return moved, size / 2, best[0]


def _shifted(values: NDArray[np.float64], shifts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the sum of rows, each read from its shift on; 0 beyond the ends."""
    width = values.shape[1]
    reach = int(np.abs(shifts).max(initial=0))
    padded = np.pad(values, ((0, 0), (reach, reach)))
    index = np.arange(width) + (shifts[:, np.newaxis] + reach)
    return np.asarray(np.take_along_axis(padded, index, axis=1).sum(axis=0))


def _brightest(
    sums: NDArray[np.float64],
    known: NDArray[np.float64],
    u: NDArray[np.float64],
    slack: float,
    widest: float,
) -> tuple[float, float, float]:
    """Return the highest significance over boxes across, its middle, and the width of the box."""
    total, count = (np.concatenate([[0.0], np.cumsum(part)]) for part in (sums, known))
    best = (-np.inf, 0.0, 1.0)
    size = 1
    while size <= min(widest, len(u)):
        wide, number = total[size:] - total[:-size], count[size:] - count[:-size]
        middle = u[0] + np.arange(len(wide)) + (size - 1) / 2
        score = np.where(
            (np.abs(middle) <= slack) & (number >= 1),
            wide / np.sqrt(np.maximum(number, 1)),
            -np.inf,
        )
        index = int(np.argmax(score))
        if score[index] > best[0]:
            best = (float(score[index]), float(middle[index]), float(size))
        size += max(size // 3, 1)
    return best


def _light(strip: Strip, half_width: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean values of the core of each chunk above its brighter side, and their weights.

    The flank of a star is bright on one side; the brighter side is taken where they differ by more
    than their noise.
    """
    total, count = _chunks(strip, CHUNK)
    core = np.abs(strip.u) <= max(half_width, 0.5)
    beyond = half_width + _GAP + 0.5 * half_width
    left = (strip.u < -beyond) & (strip.u >= -beyond - max(_BESIDE, half_width))
    right = (strip.u > beyond) & (strip.u <= beyond + max(_BESIDE, half_width))
    (inner, n), (low, m), (high, k) = (
        (total[:, part].sum(axis=1), count[:, part].sum(axis=1)) for part in (core, left, right)
    )
    mean = [s / np.maximum(c, 1) for s, c in ((inner, n), (low, m), (high, k))]
    differ = np.abs(mean[1] - mean[2]) > 4 * np.sqrt(1 / np.maximum(m, 1) + 1 / np.maximum(k, 1))
    both = (low + high) / np.maximum(m + k, 1)
    sides = np.where(differ & (m > 0) & (k > 0), np.maximum(mean[1], mean[2]), both)
    seen = (n >= 0.3 * CHUNK * core.sum()) & (m + k >= CHUNK)
    variance = 1 / np.maximum(n, 1) + 1 / np.maximum(m + k, 1)
    return np.where(seen, mean[0] - sides, 0.0), np.where(seen, 1 / variance, 0.0)


def lit_segment(
    light: NDArray[np.float64], weight: NDArray[np.float64], seed: tuple[float, float]
) -> tuple[int, int]:
    """Return the pieces, from and to, of which light is more probable than none.

    Parameters
    ----------
    light, weight : (n,) float64
        Mean light of each piece, and its inverse variance; 0 where nothing is known.
    seed : (float, float)
        Pieces, from and to, that hold light.

    Returns
    -------
    (int, int)
        Equal where there is none.

    Notes
    -----
    Each gains the logarithm of how much more probable; gaps lose, and are bridged where what
    follows gains more than they lose.
    """
    seen = weight > 0
    if not seen.any():
        return 0, 0
    start, end = math.floor(seed[0]), math.ceil(seed[1])
    for _ in range(3):
        part = slice(max(start, 0), max(end, 1))
        total = float(weight[part].sum())
        level = float((weight[part] * light[part]).sum()) / total if total > 0 else 0.0
        if level <= 0:
            return 0, 0
        typical = float(np.median(weight[seen]))
        faint = max(_FAINT * level, 2 / math.sqrt(_TELLING * typical))
        gain = weight * (faint * light - 0.5 * faint**2)
        sums = np.concatenate([[0.0], np.cumsum(gain)])
        rise = sums - np.minimum.accumulate(sums)
        end = int(np.argmax(rise))
        if end == 0:
            return 0, 0
        start = int(np.argmin(sums[: end + 1]))
    # At the border one side is missing; a trail that comes so far goes on.
    known = np.flatnonzero(seen)
    return 0 if start <= known[0] else start, len(light) if end > known[-1] else end
