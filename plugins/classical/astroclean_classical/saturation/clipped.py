"""For `saturation`: the level at which stars are cut off, from nothing but the pixels.

A star that is cut off has a flat top. Of the pixels of any other star few are near its top, however
wide it is: above 0.95 of the top of a Gaussian lies a seventh of what lies above 0.7 of it, and of
what is more peaked less. Several stars with flat tops of one height are cut off by the detector;
what else has a flat top (a disk, a ring out of focus, a trail) has a height of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.noise import SIGMA_PER_MAD

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FOOT", "FlatTop", "Pixels", "Tops", "tops_of"]

FOOT = 0.7
"""Of the height of a top above the sky: where its star is cut out."""
_NEAR = 0.05
"""Pixels of a top differ from its height by so much at most: a flat field stretches it."""
_FLAT = 0.3
"""Share of the pixels above the foot that are in the top. A star that is cut off at nine tenths of
its peak has as many, one that is not has half of it."""
_FEWEST = 5
"""Pixels of a top. A peak between four pixels of a narrow star makes four equal ones."""
_HIGHER = 0.1
"""Share of pixels above the top: hits upon the star."""
_EXACT = 0.6
"""Share of the pixels of a top with one value, from which it was cut at exactly that."""
_STEPS = 400
"""Steps between the values of a frame from which equal ones are no chance."""
_STAR = 9
"""Pixels above a level that make a star and no hit."""

_SIDES = (0.8, 0.56)
_PEAKED = 0.6
"""Of the pixels above one share of a peak, so many are above the other at most; of a Gaussian 0.38.
A trail of charge has more, however a flat field bends it."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """The bright pixels of a frame, in order of their places."""

    y: NDArray[np.int64]
    x: NDArray[np.int64]
    height: NDArray[np.float64]
    """Above the sky, in the unit of the frame."""
    width: int
    """Columns of the frame."""

    def above(self, height: float) -> Pixels:
        """Return those that are as high, or higher."""
        some = self.height >= height
        return Pixels(self.y[some], self.x[some], self.height[some], self.width)

    def groups(self) -> NDArray[np.int64]:
        """Return the number of the group of each pixel, from 0; neighbors are of one group."""
        from scipy.sparse import coo_array  # noqa: PLC0415 - heavy
        from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

        count = len(self.y)
        # A column more than the frame has, so that the ends of two rows are no neighbors.
        place = self.y * (self.width + 1) + self.x
        pairs = []
        for step in (1, self.width, self.width + 1, self.width + 2):
            found = np.minimum(np.searchsorted(place, place + step), max(count - 1, 0))
            first = np.flatnonzero(place[found] == place + step)
            pairs.append(np.stack([first, found[first]]))
        first, second = np.concatenate(pairs, axis=1)
        links = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(count, count))
        labels: NDArray[np.int64] = connected_components(links, directed=False)[1].astype(np.int64)
        return labels


@dataclass(frozen=True)
class FlatTop:
    """A star that looks cut off."""

    y: float
    x: float
    height: float
    """Median of its top, above the sky."""
    lowest: float
    """Where the top begins, above the sky."""
    count: int
    """Pixels of the top."""
    share: float
    """Of the pixels of the star from `FOOT` times the height on."""
    exact: bool
    """Whether most pixels of the top have one value, which is then `lowest`."""


@dataclass(frozen=True)
class Tops:
    """What was found between two heights."""

    flat: tuple[FlatTop, ...]
    higher: tuple[tuple[float, float, float], ...]
    """Stars that rise to a peak: y, x, and the height that nine of their pixels reach."""


def tops_of(pixels: Pixels, least: float, most: float) -> Tops:
    """Return the flat tops between two heights.

    Parameters
    ----------
    pixels : Pixels
        All from `FOOT` times `least`.
    least, most : float
        Bounds of the heights above the sky.

    Returns
    -------
    Tops
        In order of their first pixels.
    """
    stars = pixels.above(FOOT * least)
    if not len(stars.y):
        return Tops((), ())
    # Of whole numbers that are not large, many pixels share one by chance.
    steps = np.diff(np.unique(stars.height))
    coarse = _STEPS * float(steps.min()) if steps.size else 0.0
    labels = stars.groups()
    order = np.argsort(labels, kind="stable")
    ends = np.flatnonzero(np.diff(labels[order])) + 1
    flat, higher = [], []
    for members in np.split(order, ends):
        if len(members) < _FEWEST:
            continue
        found = _flat_top(stars, members, (least, most), coarse)
        if found is not None:
            flat.append(found)
        elif len(members) >= _STAR:
            values = stars.height[members]
            reached = float(np.partition(values, -_STAR)[-_STAR])
            near, own = (np.count_nonzero(values >= s * reached) for s in _SIDES)
            if near < _PEAKED * own:
                higher.append((float(stars.y[members[0]]), float(stars.x[members[0]]), reached))
    return Tops(tuple(flat), tuple(higher))


def _flat_top(
    stars: Pixels, members: NDArray[np.int64], bounds: tuple[float, float], coarse: float
) -> FlatTop | None:
    """Return the top of one group of pixels, if it is flat and its height between the bounds."""
    values = stars.height[members]
    near = values[(values >= bounds[0]) & (values <= bounds[1])]
    if near.size < _FEWEST:
        return None
    height = _mode(near)
    is_top = np.abs(values - height) <= _NEAR * height
    top, count = values[is_top], int(np.count_nonzero(is_top))
    above = int(np.count_nonzero(values > (1 + _NEAR) * height))
    if count < _FEWEST or above > _HIGHER * count:
        return None
    distinct, shared = np.unique(top, return_counts=True)
    exact = bool(shared.max() >= max(_FEWEST, _EXACT * count) and height > coarse)
    share = count / int(np.count_nonzero(values >= FOOT * height))
    if share < _FLAT and not exact:
        return None
    middle = float(np.median(top))
    scatter = SIGMA_PER_MAD * float(np.median(np.abs(top - middle)))
    lowest = max(middle - 3 * scatter, (1 - _NEAR) * middle)
    if exact:
        middle = lowest = float(distinct[shared.argmax()])
    place = members[is_top]
    y, x = float(stars.y[place].mean()), float(stars.x[place].mean())
    return FlatTop(y, x, middle, lowest, count, share=share, exact=exact)


def _mode(values: NDArray[np.float64]) -> float:
    """Return the middle of the shortest interval of values that holds half of them."""
    ordered = np.sort(values)
    half = (ordered.size + 1) // 2
    lengths = ordered[half - 1 :] - ordered[: ordered.size - half + 1]
    first = int(np.argmin(lengths))
    return float(np.median(ordered[first : first + half]))
