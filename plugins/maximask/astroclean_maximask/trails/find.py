"""All trails of a frame: candidates one after another, each followed and judged."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.noise import SIGMA_PER_MAD
from astroclean_maximask.mask.evidence.trails import SHORTEST_INSIDE
from astroclean_maximask.trails.follow import follow, lit_segment
from astroclean_maximask.trails.judge import Trail, judged
from astroclean_maximask.trails.maps import BIN
from astroclean_maximask.trails.search import Candidate, candidates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean_maximask.trails.judge import Limits
    from astroclean_maximask.trails.maps import Sky

__all__ = ["drawn", "find_trails"]

_LOG = logging.getLogger(__name__)
_LOOKS, _LOOKS_MPIX = 200, 50
_TRIES, _TRIES_MPIX = 24, 3
"""Candidates of all maps that are looked at on the cells, and followed on the pixels: a number, and
one for each million pixels. A frame of galaxies has more, and would take minutes."""
_SEARCH, _SEARCH_DASHED = 5.0, 6.0
"""Significance of a candidate: what is chance shows on the pixels. Rows need more there, too."""
_SHORTEST, _SHORTEST_DASHED = 16, 64
"""Cells of the shortest pieces that are searched; of dashes a line must have many."""
_PROBABLE = 0.1
"""Probability of the network from which a cell counts in full in its own search."""
_ROWS, _FEWEST_PIECES, _PIECES = 4, 4, 8
"""Cells along a line that are taken together; pieces by which it is judged on the cells."""
_PLAUSIBLE, _LIT, _MOST_OF_ONE = 0.8, 0.5, 0.6
"""Share of the least length, lit share of the pieces, and most light of one, on the cells."""
_POINTS, _ERASED = 16, 0.6
"""Points on a candidate, and the share on what was tried before from which it is no other."""
_REST = 0.7
"""Of its significance, what a candidate must still have beside what was found before."""


def find_trails(
    sky: Sky, probability: NDArray[np.float32], limits: Limits, *, threads: int = 1
) -> list[Trail]:
    """Return the trails of a frame, the most significant first.

    Parameters
    ----------
    sky : Sky
        The frame.
    probability : (my, mx) float32
        The network's, mean of each cell; 0 where there is none.
    limits : Limits
        What makes a trail.
    threads : int
        Directions that are searched at a time.

    Returns
    -------
    list of Trail
        Each once.
    """
    found: list[Trail] = []
    maps = [_Map(sky, sky.cells, _SHORTEST, _SEARCH)]
    # What the network sees of a line, the pixels may hold too faintly for the others.
    maps.append(_Map(sky, _hints(probability), _SHORTEST, _SEARCH))
    if sky.with_small is not None:
        small = sky.with_small
        maps.append(_Map(small, small.cells, _SHORTEST_DASHED, _SEARCH_DASHED))
    area = sky.pixels.size / 1e6
    left = np.array([_LOOKS + _LOOKS_MPIX * area, _TRIES + _TRIES_MPIX * area], dtype=int)
    for number, searched in enumerate(maps):
        cells = searched.cells.copy()
        for trail in found:
            _erase_path(cells, trail)
        if np.count_nonzero(cells) < limits.min_length / BIN:
            continue
        tried = candidates(
            cells,
            nsigma=searched.nsigma,
            widest=limits.widest / BIN,
            shortest=searched.shortest,
            threads=threads,
        )
        # The first leave a third to the others.
        most = left if number == len(maps) - 1 else -(-2 * left // 3)
        left -= _try_all(tried, replace(searched, cells=cells), probability, limits, found, most)
    return found


@dataclass(frozen=True, eq=False)
class _Map:
    """Cells that are searched, and the pixels that candidates are followed on."""

    view: Sky
    cells: NDArray[np.float32]
    shortest: int
    """Cells of the shortest pieces."""
    nsigma: float


def _hints(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    from scipy.ndimage import uniform_filter  # noqa: PLC0415 - heavy

    limited = np.minimum(probability / np.float32(_PROBABLE), 1)
    if not (limited > 0.5).any():  # noqa: PLR2004 - nothing to hint at
        return np.zeros_like(limited, dtype=np.float32)
    return np.asarray(limited - uniform_filter(limited, 24), dtype=np.float32)


def _try_all(
    tried: list[Candidate],
    searched: _Map,
    probability: NDArray[np.float32],
    limits: Limits,
    found: list[Trail],
    most: NDArray[np.intp],
) -> NDArray[np.intp]:
    """Follow candidates, and add those that are trails; cells of what was tried are erased.

    Returns how many were looked at, and followed; no more than ``most``.
    """
    used = np.zeros(2, dtype=int)
    sky, cells = searched.view, searched.cells
    scale = _scale(cells)
    erased = np.zeros(cells.shape, dtype=bool)
    points = _points_on(tried, cells.shape)
    for candidate, own in zip(tried, points, strict=True):
        if (used >= most).any():
            break
        if erased.ravel()[own].mean() > _ERASED:
            continue
        rows, columns = _cells_of(candidate, cells.shape)
        rest = float(cells[rows, columns].sum()) / np.sqrt(rows.size)
        if rest < max(_REST * candidate.significance * scale, 1e-3):
            continue
        used[0] += 1
        if _plausible(candidate, cells):
            used[1] += 1
            told = _told(sky, candidate, limits, probability)
            if isinstance(told, Trail):
                told = _lengthened(sky, told, limits, probability)
                if not any(_same(told, other) for other in found):
                    # What was found of it before is a part of it.
                    found[:] = [other for other in found if not _same(other, told)]
                    found.append(told)
                _erase_path(cells, told, erased)
            _LOG.debug("candidate %s: %s", candidate, told if isinstance(told, str) else "trail")
        cells[rows, columns] = np.minimum(cells[rows, columns], 0)
        erased[rows, columns] = True
    return used


def _told(
    sky: Sky, candidate: Candidate, limits: Limits, probability: NDArray[np.float32]
) -> Trail | str:
    """Return the trail that a candidate is, or why it is none."""
    dashed = sky.with_small is None
    line = follow(sky, candidate, widest=limits.widest)
    return judged(sky, line, limits, probability, dashed=dashed) if line else "nothing"


def _lengthened(sky: Sky, trail: Trail, limits: Limits, probability: NDArray[np.float32]) -> Trail:
    """Return a trail as it is with small sources left in the sky, if it is longer there.

    Its dashes, or what stands out of a noisy one, are small sources too.
    """
    if sky.with_small is None or trail.ends_at_border == len(trail.span):
        return trail
    start, end = (tuple((c + 0.5) / BIN - 0.5 for c in place) for place in trail.ends())
    width = max(round(trail.across.fwhm / BIN), 1)
    seed = Candidate(trail.significance, (start[0], start[1]), (end[0], end[1]), width)
    told = _told(sky.with_small, seed, limits, probability)
    is_longer = isinstance(told, Trail) and told.length > trail.length and _same(trail, told)
    return told if isinstance(told, Trail) and is_longer else trail


def _points_on(tried: list[Candidate], shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the flat indices of cells in the middle of each candidate, from end to end."""
    ends = np.array([(one.start, one.end) for one in tried]).reshape(-1, 2, 1, 2)
    t = (np.arange(_POINTS)[:, None] + 0.5) / _POINTS
    places = np.rint(ends[:, 0] * (1 - t) + ends[:, 1] * t).astype(np.intp)
    rows, columns = (np.clip(places[..., axis], 0, shape[axis] - 1) for axis in (0, 1))
    return rows * shape[1] + columns


def _plausible(candidate: Candidate, cells: NDArray[np.float32]) -> bool:
    """Return whether a candidate, and what continues it, is long and lit in most pieces.

    It spares most of the work: nearly all candidates are galaxies, or nothing.
    """
    (y0, x0), (y1, x1) = candidate.start, candidate.end
    steps = max(abs(y1 - y0), abs(x1 - x0), 1.0)
    light, own = _continued(candidate, cells, steps)
    count = len(light)
    if count < _FEWEST_PIECES or own is None:
        return False
    weight = np.full(count, float(_ROWS * candidate.width))
    start, end = lit_segment(light, weight, own)
    lit = light[start:end]
    length = (end - start) * _ROWS * BIN * np.hypot(y1 - y0, x1 - x0) / steps
    whole = start <= 1 and end >= count - 1
    if not len(lit) or (length < _PLAUSIBLE * SHORTEST_INSIDE and not whole):
        return False
    pieces = np.array([part.sum() for part in np.array_split(lit, _PIECES)])
    total = float(pieces.sum())
    seen = float(np.mean(pieces > 0.2 * total / _PIECES))
    return total > 0 and seen >= _LIT and float(pieces.max()) < _MOST_OF_ONE * total


def _continued(
    candidate: Candidate, cells: NDArray[np.float32], steps: float
) -> tuple[NDArray[np.float64], tuple[float, float] | None]:
    """Return the light of pieces of a line three times as long, and which are the candidate's."""
    (y0, x0), (y1, x1) = candidate.start, candidate.end
    t = np.arange(-1.0, 2.0, 1.0 / steps)
    offsets = np.arange(candidate.width) - (candidate.width - 1) / 2
    steep = abs(y1 - y0) >= abs(x1 - x0)
    y = y0 + t[:, None] * (y1 - y0) + (0 if steep else 1) * offsets
    x = x0 + t[:, None] * (x1 - x0) + (1 if steep else 0) * offsets
    rows, columns = np.rint(y).astype(np.intp), np.rint(x).astype(np.intp)
    my, mx = cells.shape
    inside = ((rows >= 0) & (rows < my) & (columns >= 0) & (columns < mx)).all(axis=1)
    values = cells[rows[inside], columns[inside]].mean(axis=1)
    count = len(values) // _ROWS
    light = values[: count * _ROWS].reshape(count, _ROWS).mean(axis=1).astype(np.float64)
    own = (t[inside] >= 0) & (t[inside] <= 1)
    places = np.flatnonzero(own) / _ROWS
    return light, (float(places[0]), float(places[-1])) if len(places) else None


def _scale(cells: NDArray[np.float32]) -> float:
    """Return the scatter that significances are in units of; hints are no noise."""
    sample = cells[cells != 0]
    return min(SIGMA_PER_MAD * float(np.median(np.abs(sample))), 1.0) if sample.size else 1.0


def _cells_of(
    candidate: Candidate, shape: tuple[int, ...]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    (y0, x0), (y1, x1) = candidate.start, candidate.end
    count = int(max(abs(y1 - y0), abs(x1 - x0))) + 1
    y, x = np.linspace(y0, y1, count), np.linspace(x0, x1, count)
    offsets = np.arange(candidate.width) - (candidate.width - 1) / 2
    steep = abs(y1 - y0) >= abs(x1 - x0)
    rows = np.rint(y[:, None] + (0 if steep else offsets) + np.zeros(offsets.size)).astype(int)
    columns = np.rint(x[:, None] + (offsets if steep else 0) + np.zeros(offsets.size)).astype(int)
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    return rows[inside], columns[inside]


def _same(trail: Trail, other: Trail) -> bool:
    """Return whether two lines lie on each other where both are."""
    t = np.linspace(*trail.span, 16)
    v, u = other.path.coordinates(*trail.path.at(t))
    beside = (v >= other.span[0]) & (v <= other.span[1])
    near = np.abs(u) <= 0.5 * (trail.across.fwhm + other.across.fwhm) + 2
    return bool(np.mean(beside & near) > 0.5)  # noqa: PLR2004 - most of it


def _erase_path(
    cells: NDArray[np.float32], trail: Trail, erased: NDArray[np.bool_] | None = None
) -> None:
    where = drawn(trail, cells.shape, scale=BIN, grow=1.5 * BIN)
    cells[where] = np.minimum(cells[where], 0)
    if erased is not None:
        erased |= where


def drawn(
    trail: Trail, shape: tuple[int, ...], *, grow: float = 0.0, scale: int = 1
) -> NDArray[np.bool_]:
    """Return the pixels of a trail.

    Parameters
    ----------
    trail : Trail
        The trail.
    shape : (ny, nx)
        Of the frame, or of its cells.
    grow : float
        Pixels by which it is widened on each side and at its ends.
    scale : int
        Pixels a side of a cell.

    Returns
    -------
    (ny, nx) bool
        A new array.
    """
    out = np.zeros(shape, dtype=bool)
    low, high = trail.edges[0] - grow, trail.edges[1] + grow
    # Along the axis that the trail is nearer to, so that its cut is an interval of the other.
    steep = abs(np.sin(trail.path.angle)) > abs(np.cos(trail.path.angle))
    t = np.arange(trail.span[0] - grow, trail.span[1] + grow + 0.25, 0.5)
    reach = int(np.ceil((high - low) / 2 * 1.5 / scale)) + 2
    y, x = trail.path.at(t, (low + high) / 2)
    main, other = (y, x) if steep else (x, y)
    main = np.unique(np.rint((main + 0.5) / scale - 0.5).astype(int))
    length = shape[0] if steep else shape[1]
    main = main[(main >= 0) & (main < length)]
    if not len(main):
        return out
    order = np.argsort((y if steep else x), kind="stable")
    middle = np.interp((main + 0.5) * scale - 0.5, (y if steep else x)[order], other[order])
    side = np.rint((middle[:, None] + 0.5) / scale - 0.5).astype(int) + np.arange(-reach, reach + 1)
    a = np.broadcast_to(main[:, None], side.shape)
    rows, columns = (a, side) if steep else (side, a)
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    rows, columns = rows[inside], columns[inside]
    v, u = trail.path.coordinates((rows + 0.5) * scale - 0.5, (columns + 0.5) * scale - 0.5)
    chosen = (u >= low) & (u <= high)
    chosen &= (v >= trail.span[0] - grow) & (v <= trail.span[1] + grow)
    out[rows[chosen], columns[chosen]] = True
    return out
