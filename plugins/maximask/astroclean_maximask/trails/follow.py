"""From a candidate to the line on the pixels: where it lies, how it bends, where it ends."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

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
_SHORTEST = 4.0 * CHUNK
"""Pixels of any line."""
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
_LEAST_FIRST, _LEAST = 4.5, 5.0
"""Significance below which a candidate is not followed: on its own length, and then."""


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
    path, span, width = _on_pixels(candidate, sky.shape, widest)
    guess = _Guess(path, span, width / 2, slack=1.5 * BIN + width / 2)
    for number in range(_ROUNDS):
        if guess.span[1] - guess.span[0] < _SHORTEST:
            return None
        strip = sampled(sky, guess.path, guess.span, guess.reach(1.0 if number else 0.5))
        guess, score = _aligned(strip, guess, widest, bends=number > 0)
        if score < (_LEAST if number else _LEAST_FIRST):
            return None
        guess = replace(guess, span=_inside(guess.path, guess.span, sky.shape))
        if guess.span[1] - guess.span[0] < _SHORTEST:
            return None  # it turned out of the frame
        strip, light, weight, (start, end) = _grown(sky, guess)
        # The last piece may be padded.
        span = (
            float(strip.t[0]) + start * CHUNK,
            min(float(strip.t[0]) + end * CHUNK, float(strip.t[-1])),
        )
        same = max(abs(a - b) for a, b in zip(span, guess.span, strict=True)) <= 2 * CHUNK
        guess = replace(guess, span=span)
        if same and number > 1:
            break
    if (end - start) * CHUNK < _SHORTEST:
        return None
    rows = slice(start * CHUNK, end * CHUNK)
    own = Strip(strip.values[rows], strip.t[rows], strip.u)
    return Followed(
        guess.path, guess.span, guess.half_width, own, light[start:end], weight[start:end]
    )


@dataclass(frozen=True)
class _Guess:
    """Where a line may lie."""

    path: Path
    span: tuple[float, float]
    half_width: float
    slack: float = 3.0
    """Pixels by which it may lie beside."""

    def reach(self, more: float) -> int:
        """Return the pixels on either side that hold it and its sky."""
        wide = max((2 + more) * self.half_width, 2 * self.half_width + _GAP + _BESIDE)
        return math.ceil(wide + self.slack)


def _on_pixels(
    candidate: Candidate, shape: tuple[int, int], widest: float
) -> tuple[Path, tuple[float, float], float]:
    """Return the line of a candidate, its span, and its width."""
    (y0, x0), (y1, x1) = (
        tuple((c + 0.5) * BIN - 0.5 for c in end) for end in (candidate.start, candidate.end)
    )
    path = Path((y0 + y1) / 2, (x0 + x1) / 2, math.atan2(y1 - y0, x1 - x0))
    half = math.hypot(y1 - y0, x1 - x0) / 2
    return path, _inside(path, (-half, half), shape), min(BIN * candidate.width, widest)


def _grown(
    sky: Sky, guess: _Guess
) -> tuple[Strip, NDArray[np.float64], NDArray[np.float64], tuple[int, int]]:
    """Return a longer strip, its light and weight, and the chunks that are lit."""
    span = guess.span
    reach = _GROWTH * (span[1] - span[0])
    wide = _inside(guess.path, (span[0] - reach, span[1] + reach), sky.shape)
    strip = sampled(sky, guess.path, wide, guess.reach(1.0))
    light, weight = _light(strip, guess.half_width)
    seed = ((span[0] - strip.t[0]) / CHUNK, (span[1] - strip.t[0]) / CHUNK)
    return strip, light, weight, lit_segment(light, weight, seed)


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


def _aligned(strip: Strip, guess: _Guess, widest: float, *, bends: bool) -> tuple[_Guess, float]:
    """Return the line where the strip is brightest, from the middle of its span, and how bright."""
    length = float(strip.t[-1] - strip.t[0])
    total, count = _chunks(strip, max(math.ceil(len(strip.t) / _PIECES), CHUNK))
    # The sky beside, piece by piece: halos are smooth across.
    mean = total.sum(axis=1, keepdims=True) / np.maximum(count.sum(axis=1, keepdims=True), 1)
    pieces = (total - mean * count, count)
    reach = (strip.u, guess.slack, widest)
    # Of equals the least, so the least come first.
    steps = np.arange(0.0, guess.slack + 0.25, max(0.5, guess.half_width / 4))
    turns = np.concatenate([[0.0], np.repeat(steps[1:], 2)])
    turns[2::2] *= -1
    best = _brightest(pieces, turns, np.zeros(len(turns)), *reach)
    if bends:
        most = min(max(_SAGITTA * length, _LEAST_SAGITTA), guess.slack + 3)
        sizes = np.repeat(np.arange(1.0, math.floor(most) + 1), 6)
        arcs = sizes * np.tile([1.0, 1.0, 1.0, -1.0, -1.0, -1.0], len(sizes) // 6)
        near = best.turn + np.tile([0.0, -0.5, 0.5], len(arcs) // 3)
        bent = _brightest(pieces, near, arcs, *reach)
        best = bent if bent.score > best.score + 1e-9 else best
    middle, semi = 0.5 * float(strip.t[0] + strip.t[-1]), max(length / 2, 1.0)
    moved = guess.path.moved(
        middle, best.where - 0.5 * best.arc, best.turn / semi, 2 * best.arc / semi**2
    )
    span = (guess.span[0] - middle, guess.span[1] - middle)
    return _Guess(moved, span, best.size / 2), best.score


class _Move(NamedTuple):
    """A box across a strip whose pieces were shifted."""

    score: float
    """Its significance."""
    where: float
    """Its middle, in ``u``."""
    size: float
    """Pixels."""
    turn: float
    """Shift of the last piece."""
    arc: float


def _brightest(
    pieces: tuple[NDArray[np.float64], NDArray[np.float64]],
    turns: NDArray[np.float64],
    arcs: NDArray[np.float64],
    u: NDArray[np.float64],
    slack: float,
    widest: float,
) -> _Move:
    """Return the box of highest significance over turns with their arcs, and places."""
    place = np.linspace(-1, 1, len(pieces[0]))
    shifts = np.rint(turns[:, None] * place + arcs[:, None] * (place**2 - 0.5)).astype(np.intp)
    sums, known = (_shifted(part, shifts) for part in pieces)
    total, count = (np.cumsum(np.pad(part, ((0, 0), (1, 0))), axis=1) for part in (sums, known))
    best = _Move(-math.inf, 0.0, 1.0, 0.0, 0.0)
    size = 1
    while size <= min(widest, len(u)):
        middle = u[0] + np.arange(len(u) - size + 1) + (size - 1) / 2
        near = np.flatnonzero(np.abs(middle) <= slack)
        if len(near):
            first, last = near[0], near[-1] + 1
            wide = total[:, first + size : last + size] - total[:, first:last]
            number = count[:, first + size : last + size] - count[:, first:last]
            score = np.where(number >= 1, wide / np.sqrt(np.maximum(number, 1)), -np.inf)
            move, index = np.unravel_index(int(np.argmax(score)), score.shape)
            if score[move, index] > best.score:
                where = float(middle[first + index])
                value = float(score[move, index])
                best = _Move(value, where, float(size), float(turns[move]), float(arcs[move]))
        size += max(size // 3, 1)
    return best


def _shifted(values: NDArray[np.float64], shifts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return, for each row of shifts, the sum of the values, each row read from its shift on."""
    width = values.shape[1]
    reach = int(np.abs(shifts).max(initial=0))
    padded = np.pad(values, ((0, 0), (reach, reach))).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1)
    rows = np.arange(len(values))
    return np.asarray(windows[rows, shifts + reach].sum(axis=1, dtype=np.float64))


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
