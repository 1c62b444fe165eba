"""For `saturation`: heights at which the pixels of a frame pile up, and the stars that do it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.scope import Survey, chunk_of
from astroclean.tiling.sample import SampleGatherer
from astroclean_classical.saturation.amplifiers import levels_of
from astroclean_classical.saturation.bleeding import BleedingSurvey, Clipping, Saturated
from astroclean_classical.saturation.clipped import FOOT, FlatTop, Pixels, Tops, tops_of
from astroclean_classical.saturation.levels import Levels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["ClippedSurvey"]

_EMPTY = MaskPlane.NO_DATA | MaskPlane.OVERSCAN
# Bits of a float32 that are left out where values are counted: 1024 bins for a factor of two.
_DROPPED = 13
_BINS = 1 << (32 - _DROPPED)
_BRIGHT = 15
"""Standard deviations of the sky above it; in crowded fields and nebulae that is a lot."""
_STEP = 1.02
_BELOW = (35, 10)
"""Steps below a height, from and to: there are the pixels that a pile is compared with."""
_PILE, _OVER, _BY_CHANCE = 8, 3, 4
"""Fewest pixels of a pile; how many times those below it are exceeded; and by how many."""
_REACH = 0.25
"""Tops are looked for so far above and below a pile: those of other amplifiers make none where
they are few."""
_TOGETHER = 1.5
"""Piles within this factor may be those of amplifiers of one detector."""
_ABOVE = 1.1
"""Of its level: what rises higher was not cut off there."""
_MOST = 0.2
"""Share of the pixels of a frame that saturated stars and their flanks take at most."""
_HIGHER = 4
"""So many flat tops for each star that rises above them."""
_LARGE, _WIDE = 50, 0.5
"""Pixels of a top, and share of its star, that tell a level where it is alone."""


class ClippedSurvey(Survey):
    """Finds the heights at which pixels pile up; the next passes find stars, level and runs.

    Parameters
    ----------
    shape : (ny, nx)
        Of the whole frame.
    fraction : float
        As for :class:`BleedingSurvey`, which takes the last pass.
    """

    def __init__(self, shape: tuple[int, int], fraction: float) -> None:
        self._shape, self._fraction = shape, fraction
        self._sample = SampleGatherer(shape)
        self._clipping = Clipping()
        self._counts = np.zeros(_BINS, dtype=np.int64)

    def add(self, frame: Frame, rows: slice) -> None:
        """Take the next rows."""
        data = frame.data[rows]
        known = np.isfinite(data) & ~frame.where(_EMPTY)[rows]
        self._sample.add(data, known)
        values = data[known]
        self._clipping.add(values)
        bins = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32) >> _DROPPED
        self._counts += np.bincount(bins, minlength=_BINS)

    def finish(self) -> Saturated | Survey:
        """Return the survey of the stars, or that nothing is cut off."""
        sample = self._sample.finish()
        if not sample.size:
            return _nothing()
        from astropy.stats import mad_std  # noqa: PLC0415 - heavy

        sky, noise = float(np.median(sample)), float(mad_std(sample))
        values, counts = self._heights(sky)
        floor = max(_BRIGHT * noise, values[-1] / 1000 if noise == 0 and values.size else 0.0)
        bright = values > floor
        heights = _piles(values[bright], counts[bright], floor) if bright.any() else []
        highest = self._clipping.level
        if highest is not None and highest - sky > floor:
            heights = sorted({*heights, highest - sky})
        most = _MOST * counts.sum()
        ranges = [
            (least, height)
            for least, height in _ranges(heights)
            if counts[values >= FOOT * least].sum() <= most
        ]
        if not ranges:
            return _nothing(self._clipping.piled_up)
        return _StarSurvey(_Search(self._shape, sky, tuple(ranges)), self._fraction)

    def _heights(self, sky: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the values that occur, as heights above the sky, and how many pixels have each."""
        bins = np.flatnonzero(self._counts)
        middle = (bins.astype(np.uint32) << _DROPPED) | np.uint32(1 << (_DROPPED - 1))
        values = middle.view(np.float32).astype(np.float64) - sky
        order = np.argsort(values, kind="stable")
        return values[order], self._counts[bins][order]


def _nothing(piled_up: tuple[float, int] | None = None) -> Saturated:
    """Return that no level was found."""
    none = np.zeros((0, 3), dtype=np.int64)
    return Saturated(Levels.same(float("nan")), none, piled_up, stars=0)


def _piles(values: NDArray[np.float64], counts: NDArray[np.int64], floor: float) -> list[float]:
    """Return heights that more pixels have than those somewhat below.

    Parameters
    ----------
    values, counts
        Heights above `floor`, in order, and how many pixels have each.
    floor : float
        The lowest height that is looked at, above 0.

    Notes
    -----
    A star has as many pixels in one step of a logarithmic scale as in the next, up to its peak, so
    the numbers of many stars fall towards greater heights.
    """
    steps = np.floor(np.log(values / floor) / np.log(_STEP)).astype(np.int64)
    numbers = np.zeros(int(steps[-1]) + 3, dtype=np.int64)
    np.add.at(numbers, steps + 1, counts)
    piled = numbers[:-2] + numbers[1:-1] + numbers[2:]
    found = []
    for step, count in enumerate(piled.tolist()):
        below = piled[max(step - _BELOW[0], 0) : max(step - _BELOW[1], 0)]
        near = piled[max(step - 3, 0) : step + 4]
        usual = float(below.mean()) if below.size else 0.0
        if count >= _PILE and count > _OVER * usual + _BY_CHANCE and count == near.max():
            found.append(floor * _STEP ** (step + 0.5))
    return found


def _ranges(heights: Sequence[float]) -> list[tuple[float, float]]:
    """Return the bounds of heights that may be those of one detector."""
    ranges: list[tuple[float, float]] = []
    for height in heights:
        least, most = (1 - _REACH) * height, (1 + _REACH) * height
        if ranges and height <= _TOGETHER * ranges[-1][1] / (1 + _REACH):
            ranges[-1] = (ranges[-1][0], most)
        else:
            ranges.append((least, most))
    return ranges


@dataclass(frozen=True)
class _Search:
    """Where flat tops are looked for."""

    shape: tuple[int, int]
    sky: float
    ranges: tuple[tuple[float, float], ...]
    """Heights above the sky, from and to; in order."""


class _StarSurvey(Survey):
    """Gathers the bright pixels, in which the stars of a pile are found."""

    def __init__(self, search: _Search, fraction: float) -> None:
        self._search, self._fraction = search, fraction
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
        self._clipping = Clipping()

    def add(self, frame: Frame, rows: slice) -> None:
        """Take the next rows."""
        data = frame.data[rows]
        self._clipping.add(data)
        search = self._search
        # Comparisons with NaN are false.
        bright = data >= np.float32(search.sky + FOOT * search.ranges[0][0])
        bright &= np.isfinite(data) & ~frame.where(_EMPTY)[rows]
        y, x = np.nonzero(bright)
        first = chunk_of(frame).origin[0] + rows.start
        self._parts.append((y + first, x, data[bright].astype(np.float64) - search.sky))

    def finish(self) -> Saturated | Survey:
        """Return the survey of the runs above the level, or that nothing is cut off."""
        search = self._search
        y, x, height = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        pixels = Pixels(y, x, height, search.shape[1])
        best: tuple[FlatTop, ...] = ()
        for least, most in reversed(search.ranges):
            flat = _believed(tops_of(pixels, least, most), search.shape)
            best = flat if len(flat) > len(best) else best
        if not best:
            return _nothing(self._clipping.piled_up)
        levels = _above_sky(levels_of(best, search.shape), search.sky)
        doubt = _doubt(best, levels, search.sky)
        return BleedingSurvey(levels, self._fraction, stars=len(best), doubt=doubt)


def _believed(tops: Tops, shape: tuple[int, int]) -> tuple[FlatTop, ...]:
    """Return the flat tops if they are those of stars that the detector cut off."""
    flat = tops.flat
    if not flat:
        return ()
    if len(flat) == 1 and not flat[0].exact:
        alone = flat[0].count >= _LARGE and flat[0].share >= _WIDE
        return flat if alone and not tops.higher else ()
    levels = levels_of(flat, shape)
    above = [h for y, x, h in tops.higher if h > _ABOVE * levels.at(y, x)]
    return flat if _HIGHER * len(above) <= len(flat) else ()


def _doubt(flat: Sequence[FlatTop], levels: Levels, sky: float) -> str:
    """Return why a level may be none."""
    if len(flat) == 1 and not flat[0].exact:
        return "only one star has a flat top, and a disk or a trail looks the same"
    lower = sum(sky + top.height < levels.at(top.y, top.x) for top in flat)
    if not lower:
        return ""
    return f"{lower} of {len(flat)} stars with flat tops stay below it, and not in one amplifier"


def _above_sky(levels: Levels, sky: float) -> Levels:
    """Return heights above the sky as values of the frame."""
    values = tuple(tuple(float(np.float32(sky + v)) for v in row) for row in levels.values)
    return replace(levels, values=values)
