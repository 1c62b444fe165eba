"""COSMIC_RAY, DEAD_PIXEL, DEAD_LINE: no star with wings all around, and no noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.noise import SIGMA_PER_MAD
from astroclean_maximask.mask.evidence.strips import CONNECTED, components

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean_maximask.mask.evidence.strips import Strip

__all__ = ["keep_dead_lines", "keep_dead_pixels", "keep_hits"]

_LOW = 4.5
"""Standard deviations: of a million pixels of noise 3 are as far below the sky."""
_LINE, _SHORTEST_LINE = 3, 8
"""Length of a line over its thickness, and in pixels, at least."""
_DEEP = 3.0
"""Standard deviations that a cluster is below the sky."""
_HIGH = 4.5
_DOUBTFUL = 2.0
"""Scatter around a peak over that of the mesh, up to which it is taken for that of the mesh."""
_TYPICAL = 1.8
"""The same of the median of a group: that of the upper tenth of noise is 1.6."""
_AREA, _MANY = 32, 0.2
"""Side in pixels of the cell that a peak is in, and the share flagged from which it is full."""
_BRIGHT = 15.0
"""Standard deviations from which the wings of a star can be seen."""
_WING = 0.015
"""Of the peak, in each quadrant: a Moffat of FWHM 1.2 pixels has as much two pixels off."""
_SURE = 2.5
_COMPACT = 9
"""Pixels of a group that may be the core of an undersampled star; tracks have more."""
_SEEN = 6.0
"""Standard deviations of a peak whose neighbors tell anything."""
_SIDES = (0.1, 0.15)
"""Light of the faintest and the next of the four neighbors over that of the peak, at least: 5
percent of the stars of FWHM 1.6 pixels (M33 with STIS) have less, and 95 percent of its hits."""
_SIDES_OF = ((0, 1), (1, 0), (0, -1), (-1, 0))
_CORNERS = 0.02
"""The same of the faintest corner, but for one standard deviation."""


def keep_dead_pixels(strip: Strip, found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels that are further below the sky, or below their neighbors, than noise."""
    y, x = np.nonzero(found)
    kept = np.zeros_like(found)
    if len(y):
        kept[y, x] = _contrast(strip.light, y, x) < -_LOW
    return kept


def keep_dead_lines(strip: Strip, found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of pieces of a column or row, and of clusters far below the sky.

    The noise of resampled images has dark patches; these are neither straight nor deep.
    """
    kept = np.zeros_like(found)
    for box, group in components(found):
        long, thick = max(group.shape), min(group.shape)
        straight = long >= _LINE * thick and long >= _SHORTEST_LINE
        if straight or np.median(strip.light[box][group]) < -_DEEP:
            kept[box] |= group
    return kept


def _contrast(
    light: NDArray[np.float32], y: NDArray[np.intp], x: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Return the pixels over the median of the 16 around their 3 x 3, in units of the noise."""
    ring = [(j, i) for j in range(-2, 3) for i in range(-2, 3) if max(abs(j), abs(i)) == 2]  # noqa: PLR2004
    values = np.stack([_at(light, y + j, x + i) for j, i in ring])
    return np.asarray(light[y, x] - np.maximum(np.median(values, axis=0), 0))


def _at(values: NDArray, y: NDArray[np.intp], x: NDArray[np.intp]) -> NDArray:  # type: ignore[type-arg]
    return values[np.clip(y, 0, values.shape[0] - 1), np.clip(x, 0, values.shape[1] - 1)]


def keep_hits(strip: Strip, found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of particle hits.

    Parameters
    ----------
    strip : Strip
        What was observed.
    found : (ny, nx) bool
        What the network takes for hits.

    Returns
    -------
    (ny, nx) bool
        Of these: groups that stand above the noise, without the wings that the PSF gives a star on
        every side of it.
    """
    from scipy.ndimage import label  # noqa: PLC0415 - heavy

    if not found.any():
        return np.zeros_like(found)
    light = strip.light
    labels, _ = label(found, CONNECTED)
    rows, columns = np.nonzero(found)
    numbers, values = labels[rows, columns], light[rows, columns]
    # Group after group, the faintest pixel first: the last is the peak.
    order = np.lexsort((values, numbers))
    size = np.bincount(numbers)[1:]
    last = np.cumsum(size) - 1
    peak, median = values[order[last]], values[order[last - size // 2]]
    y, x = rows[order[last]], columns[order[last]]
    level, scatter = _around(light, y, x)
    # So few pixels tell it to a fifth; where it may be that of the mesh, that is known better.
    noise = np.where(scatter > _DOUBTFUL, scatter, 1.0)
    good = peak - level > _HIGH * noise
    # Of noise that the mesh does not know of, groups are many, large, and have a peak by chance.
    cell = rows // _AREA * (found.shape[1] // _AREA + 1) + columns // _AREA
    many = np.bincount(cell)[cell[order[last]]] > _MANY * _AREA**2
    good &= ~many | (median - level > _TYPICAL * noise)
    good &= ~((size <= _COMPACT) & _is_rounded(light, y, x, (level, scatter)))
    # The widest circle about the peak that the group fills decides where its wings begin.
    radius = np.clip(np.ceil(np.sqrt(size / np.pi)), 1, 5).astype(int)
    for r in range(1, 6):
        those = (radius == r) & (peak > _BRIGHT)
        if those.any():
            good[those] &= ~_has_wings(light, found, y[those], x[those], r)
    return np.asarray(np.append(False, good)[labels])


def _is_rounded(
    light: NDArray[np.float32],
    y: NDArray[np.intp],
    x: NDArray[np.intp],
    ground: tuple[NDArray[np.floating], NDArray[np.floating]],
) -> NDArray[np.bool_]:
    """Return which peaks have light in every neighbor, as stars of more than 1.2 pixels have.

    Above what is there anyway: a hit on a galaxy has light around it. The mesh takes a nebula for
    noise, and would find that nothing can be seen of the stars on it.
    """
    level, scatter = ground
    peak = light[y, x] - level
    sides = np.sort([_at(light, y + j, x + i) for j, i in _SIDES_OF], axis=0) - level
    corners = np.min([_at(light, y + j, x + i) for j in (-1, 1) for i in (-1, 1)], axis=0) - level
    return np.asarray(
        (peak > _SEEN * scatter)
        & (sides[0] > _SIDES[0] * peak)
        & (sides[1] > _SIDES[1] * peak)
        & (corners > _CORNERS * peak - scatter)
    )


def _around(
    light: NDArray[np.float32], y: NDArray[np.intp], x: NDArray[np.intp]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return median and robust scatter of what is 4 to 6 pixels off.

    The mesh knows nothing of a vignetted edge, where the flat field has raised the noise.
    """
    j, i = (part.ravel() for part in np.mgrid[-6:7, -6:7])
    ring = (np.hypot(j, i) >= 4) & (np.hypot(j, i) <= 6)  # noqa: PLR2004
    values = _at(light, y[:, np.newaxis] + j[ring], x[:, np.newaxis] + i[ring])
    level = np.median(values, axis=1)
    # Means of opposite pixels, which a slope leaves alone: hits lie on the flanks of stars, too.
    pairs = (values + values[:, ::-1])[:, : values.shape[1] // 2] / np.sqrt(2)
    apart = np.abs(pairs - np.median(pairs, axis=1, keepdims=True))
    return level, SIGMA_PER_MAD * np.median(apart, axis=1)


def _has_wings(
    light: NDArray[np.float32],
    found: NDArray[np.bool_],
    y: NDArray[np.intp],
    x: NDArray[np.intp],
    r: int,
) -> NDArray[np.bool_]:
    """Return which peaks have light around them, on all sides, that falls outwards."""
    offsets = np.arange(-r - 4, r + 5)
    j, i = (part.ravel() for part in np.meshgrid(offsets, offsets, indexing="ij"))
    distance = np.hypot(j, i)
    quadrant = ((np.arctan2(j, i) + np.pi / 4 + 2 * np.pi) / (np.pi / 2)).astype(int) % 4
    near = (distance >= r + 0.8) & (distance < r + 1.9)
    far = (distance >= r + 2.9) & (distance < r + 4.2)
    peak = light[y, x]
    wings = np.ones(len(y), dtype=bool)
    for number in range(4):
        levels, noise = [], []
        for ring in (near, far):
            chosen = np.flatnonzero(ring & (quadrant == number))
            rows = y[:, np.newaxis] + j[chosen]
            columns = x[:, np.newaxis] + i[chosen]
            free = ~_at(found, rows, columns)
            values = np.where(free, _at(light, rows, columns), 0)
            amount = np.maximum(free.sum(axis=1), 1)
            levels.append(values.sum(axis=1) / amount)
            noise.append(1 / amount)
            wings &= free.any(axis=1)
        excess = levels[0] - levels[1]
        wings &= excess > np.maximum(_WING * peak, _SURE * np.sqrt(noise[0] + noise[1]))
    return wings
