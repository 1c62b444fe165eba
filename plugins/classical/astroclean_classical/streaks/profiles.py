"""For `streaks`: is a candidate line a trail, from where to where, and how wide?"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean_classical.streaks.lines import Line
from astroclean_classical.streaks.sky import CLIP

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Limits", "Trail", "trail_along"]

_CHUNK = 8  # pixels along the line that are taken together
# Pieces by which a trail is judged, and how many of them must be seen.
_PIECES, _FEWEST_PIECES, _SEEN = 12, 5, 0.75
_PIECE_SIGMA = 3.0
# Of the mean brightness: what a piece must have to be seen, and the median of all pieces.
_PIECE_SHARE, _MEDIAN_SHARE = 0.3, 0.6
# The trail ends where its median profile is below this, in sigma of a pixel and of the profile.
_FAINT, _FAINT_ERRORS = 0.25, 3.0
_CORE_SHARE = 0.3
_ROUNDS = 4


@dataclass(frozen=True)
class Limits:
    """What makes a line a trail; lengths in pixels."""

    nsigma: float
    min_length: float
    width: float
    slack: float
    """By how much the candidate may be off at the ends of the frame."""


@dataclass(frozen=True)
class Trail:
    """A part of a line."""

    line: Line
    start: float
    end: float
    """Pixels along the line from its (x, y)."""
    low: float
    high: float
    """Pixels across, to the left of the direction."""
    brightness: float
    """Median over its core, in sigma of a pixel."""
    snr: float

    @property
    def length(self) -> float:
        """In pixels."""
        return self.end - self.start

    @property
    def width(self) -> float:
        """In pixels."""
        return self.high - self.low

    def pixels(self, shape: tuple[int, int], grow: float) -> NDArray[np.bool_]:
        """Return the pixels within ``grow`` of the trail."""
        y, x = np.indices(shape, dtype=np.float32)
        dx, dy = self.line.direction
        along = (x - self.line.x) * dx + (y - self.line.y) * dy
        across = (y - self.line.y) * dx - (x - self.line.x) * dy
        within: NDArray[np.bool_] = (along >= self.start - grow) & (along <= self.end + grow)
        return within & (across >= self.low - grow) & (across <= self.high + grow)


@dataclass(frozen=True, eq=False)
class _Strip:
    """The image along a line: rows follow it, columns go across; NaN where nothing is known."""

    values: NDArray[np.float32]
    along: NDArray[np.float64]
    across: NDArray[np.float64]

    def chunks(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return sums and numbers of known pixels in pieces of `_CHUNK` rows."""
        count = -(-len(self.along) // _CHUNK)
        rows = count * _CHUNK - len(self.along)
        padded = np.pad(self.values, ((0, rows), (0, 0)), constant_values=np.nan)
        pieces = padded.reshape(count, _CHUNK, -1)
        known = np.isfinite(pieces)
        total = np.where(known, np.clip(pieces, -CLIP, CLIP), 0).sum(axis=1, dtype=np.float64)
        return total, known.sum(axis=1).astype(np.float64)


def trail_along(
    image: NDArray[np.float32], known: NDArray[np.bool_], line: Line, limits: Limits
) -> Trail | None:
    """Return the trail near a line.

    Parameters
    ----------
    image : (ny, nx) float32
        In units of the noise.
    known : (ny, nx) bool
        Pixels to look at.
    line : Line
        Candidate.
    limits : Limits
        What a trail is.

    Returns
    -------
    Trail or None
        None where the line is bright in a few places only, too short or too wide.
    """
    for _ in range(2):  # the second time with the angle of the first
        strip = _strip(image, known, line, limits)
        if strip is None:
            return None
        line = _aligned(strip, line, limits)
    strip = _strip(image, known, line, limits)
    return None if strip is None else _judged(strip, line, limits)


def _strip(
    image: NDArray[np.float32], known: NDArray[np.bool_], line: Line, limits: Limits
) -> _Strip | None:
    ny, nx = image.shape
    dx, dy = line.direction
    reach = math.hypot(ny, nx)
    along = np.arange(-math.ceil(reach), math.ceil(reach) + 1, dtype=np.float64)
    x, y = line.x + along * dx, line.y + along * dy
    along = along[(x > -1) & (x < nx) & (y > -1) & (y < ny)]
    if along.size < limits.min_length:
        return None
    half = math.ceil(1.5 * limits.width + limits.slack)
    across = np.arange(-half, half + 1, dtype=np.float64)
    # The nearest pixel, not a mean of neighbors: noise stays what it is.
    column = np.rint(line.x + along[:, None] * dx - across * dy).astype(int)
    row = np.rint(line.y + along[:, None] * dy + across * dx).astype(int)
    inside = (row >= 0) & (row < ny) & (column >= 0) & (column < nx)
    row, column = np.where(inside, row, 0), np.where(inside, column, 0)
    seen = inside & known[row, column]
    return _Strip(np.where(seen, image[row, column], np.float32(np.nan)), along, across)


def _aligned(strip: _Strip, line: Line, limits: Limits) -> Line:
    """Return the line moved and turned to where the strip is brightest."""
    total, count = strip.chunks()
    place = np.linspace(-1, 1, len(total))
    slack = math.ceil(limits.slack)
    best, shift_best, turn_best = -np.inf, 0.0, 0.0
    turns = np.linspace(-slack, slack, 4 * slack + 1)
    for turn in turns[np.argsort(np.abs(turns), kind="stable")]:  # of equals the least
        shifts = np.rint(place * turn).astype(int)
        index = np.arange(total.shape[1])[None, :] + shifts[:, None]
        inside = (index >= 0) & (index < total.shape[1])
        safe = np.where(inside, index, 0)
        sums = np.where(inside, np.take_along_axis(total, safe, axis=1), 0).sum(axis=0)
        known = np.where(inside, np.take_along_axis(count, safe, axis=1), 0).sum(axis=0)
        score, where = _brightest(sums, known, strip.across, limits)
        if score > best:
            best, shift_best, turn_best = score, where, float(turn)
    dx, dy = line.direction
    middle = float(strip.along[0] + strip.along[-1]) / 2
    span = max(float(strip.along[-1] - strip.along[0]) / 2, 1.0)
    angle = line.angle + math.degrees(math.atan2(turn_best, span))
    angle = (angle + 90) % 180 - 90
    x, y = line.x + middle * dx - shift_best * dy, line.y + middle * dy + shift_best * dx
    return Line(x, y, angle)


def _brightest(
    sums: NDArray[np.float64],
    known: NDArray[np.float64],
    across: NDArray[np.float64],
    limits: Limits,
) -> tuple[float, float]:
    """Return the highest significance over boxes across the line, and its place."""
    from scipy.ndimage import uniform_filter1d  # noqa: PLC0415 - heavy

    near = np.abs(across) <= limits.slack + limits.width / 2
    best, where = -np.inf, 0.0
    size = 1
    while size <= limits.width:
        wide = uniform_filter1d(sums, size, mode="constant") * size
        number = uniform_filter1d(known, size, mode="constant") * size
        score = np.where(near & (number >= 1), wide / np.sqrt(np.maximum(number, 1)), -np.inf)
        index = int(np.argmax(score))
        if score[index] > best:
            best, where = float(score[index]), float(across[index])
        size = size + 2 if size < 5 else 2 * size - 1  # noqa: PLR2004 - widths 1, 3, 5, 9, 17, ...
    return best, where


def _judged(strip: _Strip, line: Line, limits: Limits) -> Trail | None:
    """Return the trail of a strip that is aligned with it."""
    total, count = strip.chunks()
    core = np.abs(strip.across) <= 1
    start, end = 0, len(total)
    for _ in range(_ROUNDS):  # the core tells the ends, and what lies between them the core
        bright, weight = _brightness(total, count, core, strip.across, limits)
        start, end = _segment(bright, weight)
        rows = slice(start * _CHUNK, end * _CHUNK)
        profile, error = _profile(strip, rows, limits)
        low, high = _extent(profile, np.maximum(_CORE_SHARE * profile.max(initial=0), 2 * error))
        core = (np.arange(profile.size) >= low) & (np.arange(profile.size) <= high)
    length = float(min(end * _CHUNK, len(strip.along)) - start * _CHUNK)
    level, snr = _level(bright, weight, start, end)
    if length < limits.min_length or snr < limits.nsigma:
        return None
    if not _persists(bright[start:end], weight[start:end], level, snr):
        return None
    low, high = _extent(profile, np.maximum(_FAINT, _FAINT_ERRORS * error))
    if strip.across[high] - strip.across[low] >= limits.width:
        low, high = int(np.flatnonzero(core)[0]), int(np.flatnonzero(core)[-1])
        if strip.across[high] - strip.across[low] >= limits.width:
            return None
    return Trail(
        line,
        float(strip.along[start * _CHUNK]),
        float(strip.along[start * _CHUNK]) + length - 1,
        float(strip.across[low]) - 0.5,
        float(strip.across[high]) + 0.5,
        float(np.median(profile[core])),
        snr,
    )


def _brightness(
    total: NDArray[np.float64],
    count: NDArray[np.float64],
    core: NDArray[np.bool_],
    across: NDArray[np.float64],
    limits: Limits,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean values of the core of each chunk above its brighter side, and their weights.

    Both sides must be known: the flank of a bright star that lies beyond the border is no trail.
    """
    half = limits.width / 2 + 1
    left, right, inner = across < -half, across > half, count[:, core].sum(axis=1)
    mean = total[:, core].sum(axis=1) / np.maximum(inner, 1)
    numbers = [count[:, side].sum(axis=1) for side in (left, right)]
    sky = [
        total[:, side].sum(axis=1) / np.maximum(number, 1)
        for side, number in zip((left, right), numbers, strict=True)
    ]
    fewest = np.minimum(*numbers)
    # The variance of the difference, for pixels of variance 1; nothing known: no weight.
    variance = 1 / np.maximum(inner, 1) + 1 / np.maximum(fewest, 1)
    return mean - np.maximum(*sky), np.where((inner > 0) & (fewest > 0), 1 / variance, 0)


def _segment(bright: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[int, int]:
    """Return the chunks, from and to, that exceed half of their own brightness together."""
    seen = weight > 0
    level = float(np.percentile(bright[seen], 75)) if seen.any() else 0.0
    start, end = 0, len(bright)
    for _ in range(_ROUNDS):
        gain = weight * (bright - level / 2)
        sums = np.concatenate([[0.0], np.cumsum(gain)])
        rise = sums - np.minimum.accumulate(sums)
        end = int(np.argmax(rise))
        if end == 0:
            return 0, 0
        start = int(np.argmin(sums[: end + 1]))
        level, _ = _level(bright, weight, start, end)
    # At the border one side is missing; a trail that comes so far goes on.
    known = np.flatnonzero(seen)
    return 0 if start <= known[0] else start, len(bright) if end > known[-1] else end


def _level(
    bright: NDArray[np.float64], weight: NDArray[np.float64], start: int, end: int
) -> tuple[float, float]:
    """Return mean brightness and significance of chunks."""
    total = float(weight[start:end].sum())
    if total <= 0:
        return 0.0, 0.0
    level = float(np.sum(weight[start:end] * bright[start:end])) / total
    return level, level * math.sqrt(total)


def _persists(
    bright: NDArray[np.float64], weight: NDArray[np.float64], level: float, snr: float
) -> bool:
    """Tell whether most pieces of a trail are seen, as many as its brightness lets one tell."""
    pieces = int(np.clip((snr / _PIECE_SIGMA) ** 2, _FEWEST_PIECES, _PIECES))
    sums = [float(part.sum()) for part in np.array_split(weight * bright, pieces)]
    weights = [float(part.sum()) for part in np.array_split(weight, pieces)]
    known = np.array(weights) > 0
    values = np.array(sums)[known] / np.array(weights)[known]
    if values.size < _FEWEST_PIECES:
        return False
    seen = float(np.mean(values > _PIECE_SHARE * level))
    return seen >= _SEEN and float(np.median(values)) >= _MEDIAN_SHARE * level


def _profile(
    strip: _Strip, rows: slice, limits: Limits
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the median across the trail, above its sides, with its standard deviation."""
    part = strip.values[rows]
    side = np.abs(strip.across) > limits.width / 2 + 1
    number = np.isfinite(part).sum(axis=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="All-NaN slice")
        median = np.nanmedian(part, axis=0) if len(part) else np.zeros(part.shape[1])
        sky = np.nanmedian(part[:, side]) if part[:, side].size else 0.0
    error = np.sqrt(np.pi / 2 / np.maximum(number, 1))
    profile = np.nan_to_num(median - np.nan_to_num(sky)).astype(np.float64)
    return profile, error


def _extent(profile: NDArray[np.float64], floor: NDArray[np.float64]) -> tuple[int, int]:
    """Return first and last index of the run around the middle that is above a floor."""
    low = high = profile.size // 2
    while low > 0 and profile[low - 1] > floor[low - 1]:
        low -= 1
    while high < profile.size - 1 and profile[high + 1] > floor[high + 1]:
        high += 1
    return low, high
