"""Pieces of lines along which a binned map is bright."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.noise import SIGMA_PER_MAD
from astroclean.core.parallel import in_threads
from astroclean_maximask.trails.radon import line_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Candidate", "candidates"]

_SHORTEST = 16
"""Cells that the shortest pieces cross."""
_SHORT = {16: 3.0, 32: 1.0}
"""Added to the significance that pieces of so many cells must have: there are many of them."""
_WIDTHS = (1, 2, 4, 8, 16)
"""Cells across."""
_BLOCK = (4, 8)
"""Slopes and places of which the best alone is a candidate."""
_MOST = 64
"""Candidates of one length, width and direction."""
_SAMPLE = 97
"""Every so many sums tell the scatter."""
_FEWEST = 16


@dataclass(frozen=True, order=True)
class Candidate:
    """A piece of a line, in cells."""

    significance: float
    start: tuple[float, float]
    """(y, x)."""
    end: tuple[float, float]
    width: int
    """Cells."""


def candidates(
    cells: NDArray[np.float32],
    *,
    nsigma: float,
    widest: float,
    shortest: int = _SHORTEST,
    threads: int = 1,
) -> list[Candidate]:
    """Return pieces of lines, the most significant first.

    Parameters
    ----------
    cells : (my, mx) float32
        0 where nothing is known or seen; scatter 1. Not modified.
    nsigma : float
        Least significance, in deviations of lines of the same length and width.
    widest : float
        Widest line, in cells.
    shortest : int
        Cells that the shortest pieces cross, a power of 2.
    threads : int
        Directions that are searched at a time.

    Returns
    -------
    list of Candidate
        Many of them are pieces of the same line, or cross it.
    """

    def work(way: tuple[bool, bool]) -> list[Candidate]:
        turned, flipped = way
        image = cells.T if turned else cells
        image = np.ascontiguousarray(image[:, ::-1] if flipped else image)
        return [
            _placed(found, turned, image.shape[1] if flipped else 0)
            for found in _leaning_right(image, nsigma, widest, shortest)
        ]

    ways = [(turned, flipped) for turned in (False, True) for flipped in (False, True)]
    found = [one for part in in_threads(work, ways, threads) for one in part]
    return sorted(found, reverse=True)


def _placed(found: Candidate, turned: bool, flipped: int) -> Candidate:
    """Return a candidate of an image that was mirrored and turned, in that image as it was."""
    ends = []
    for row, column in (found.start, found.end):
        x = flipped - 1 - column if flipped else column
        ends.append((x, row) if turned else (row, x))
    return Candidate(found.significance, ends[0], ends[1], found.width)


def _leaning_right(
    image: NDArray[np.float32], nsigma: float, widest: float, shortest: int
) -> list[Candidate]:
    found: list[Candidate] = []
    for sums in line_sums(image, shortest=shortest):
        wide, width = sums, 1
        for wanted in _WIDTHS:
            if wanted > max(widest, 1) or wanted > image.shape[1]:
                break
            while width < wanted:
                wide = wide[..., :-width] + wide[..., width:]
                width *= 2
            found += _peaks(wide, wanted, nsigma + _SHORT.get(sums.shape[1], 0.0))
    return found


def _peaks(sums: NDArray[np.float32], width: int, nsigma: float) -> list[Candidate]:
    height = sums.shape[1]
    expected = float(np.sqrt(height * width))
    sample = sums.ravel()[::_SAMPLE]
    sample = sample[sample != 0]
    scatter = expected
    if len(sample) >= _FEWEST:
        scatter = max(SIGMA_PER_MAD * float(np.median(np.abs(sample))), 0.7 * expected)
    limit = nsigma * scatter
    if not (sums > limit).any():
        return []
    best = _block_maxima(sums)
    places = np.argwhere(best > limit)
    if len(places) > _MOST:
        order = np.argsort(best[tuple(places.T)])[::-1][:_MOST]
        places = places[order]
    found = []
    for strip, slope, place in places:
        rows = slice(slope * _BLOCK[0], (slope + 1) * _BLOCK[0])
        columns = slice(place * _BLOCK[1], (place + 1) * _BLOCK[1])
        block = sums[strip, rows, columns]
        s, x = np.unravel_index(int(np.argmax(block)), block.shape)
        shift, left = rows.start + int(s), columns.start + int(x)
        middle = left + (width - 1) / 2
        top = int(strip) * height
        found.append(
            Candidate(
                float(block[s, x]) / scatter,
                (float(top), middle),
                (float(top + height - 1), middle + shift),
                width,
            )
        )
    return found


def _block_maxima(sums: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the greatest of each block of slopes and places; the last blocks may be smaller."""
    count, height, width = sums.shape
    tall = sums.reshape(count, height // _BLOCK[0], _BLOCK[0], width).max(axis=2)
    whole = width // _BLOCK[1]
    best = tall[..., : whole * _BLOCK[1]].reshape(*tall.shape[:2], whole, _BLOCK[1]).max(axis=3)
    if width % _BLOCK[1]:
        rest = tall[..., whole * _BLOCK[1] :].max(axis=2, keepdims=True)
        best = np.concatenate([best, rest], axis=2)
    return np.asarray(best)
