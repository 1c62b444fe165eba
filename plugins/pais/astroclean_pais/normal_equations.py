"""The normal equations of the fluxes of sources whose images are known: sparse, as boxes overlap.

``N f = r`` with ``N_ij = sum m_i m_j / v`` and ``r_i = sum m_i d / v`` over usable pixels, for
images m of unit flux, data d and variance v (weighted linear least squares).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean.core.sources.sources import SourceStamp

__all__ = ["NormalEquations", "normal_equations", "overlapping"]


class NormalEquations(NamedTuple):
    """Both sides; the matrix is symmetric and complete."""

    matrix: Any
    """(n, n) scipy.sparse.coo_array of float64, its diagonal first, in 1 / flux^2."""
    right: NDArray[np.float64]
    """(n,), in 1 / flux."""


class _Weighed(NamedTuple):
    """A source on the image: where, and the image of unit flux times the weight."""

    corner: tuple[int, int]
    light: NDArray[np.float32]
    weighted: NDArray[np.float64]

    def dot(self, other: _Weighed) -> float:
        """Return the weighted product of both images; their boxes overlap."""
        (y, x), (ny, nx) = self.corner, self.weighted.shape
        (v, u), (my, mx) = other.corner, other.light.shape
        top, left = max(y, v), max(x, u)
        bottom, right = min(y + ny, v + my), min(x + nx, u + mx)
        mine = self.weighted[top - y : bottom - y, left - x : right - x]
        return float((mine * other.light[top - v : bottom - v, left - u : right - u]).sum())


def normal_equations(
    profiles: Sequence[SourceStamp], data: NDArray[np.float64], weight: NDArray[np.float64]
) -> NormalEquations:
    """Return the normal equations of all fluxes.

    Parameters
    ----------
    profiles : sequence of SourceStamp
        n images of unit flux; boxes may reach beyond the image. Not modified.
    data : (ny, nx) float64
        Finite. Not modified.
    weight : (ny, nx) float64
        1 / variance, 0 where a pixel does not count. Not modified.

    Returns
    -------
    NormalEquations
        New. Memory grows with the pairs of boxes that overlap, not with their pixels.
    """
    from scipy.sparse import coo_array  # noqa: PLC0415 - costs a tenth of a second

    count = len(profiles)
    first, second = overlapping(profiles, weight.shape)
    bounds = np.searchsorted(first, np.arange(count + 1))
    sources = [_weighed(profile, weight) for profile in profiles]
    diagonal, right = np.zeros(count), np.zeros(count)
    shared = np.zeros(first.size)
    for one, (source, profile) in enumerate(zip(sources, profiles, strict=True)):
        diagonal[one] = source.dot(source)
        right[one] = (source.weighted * data[profile.overlap(data.shape)[0]]).sum()
        for pair in range(bounds[one], bounds[one + 1]):
            shared[pair] = source.dot(sources[second[pair]])
    every = np.arange(count)
    # Boxes that overlap where no pixel counts, or none has light, make no blend.
    meet = shared != 0
    first, second, shared = first[meet], second[meet], shared[meet]
    rows, columns = (
        np.concatenate([every, first, second]),
        np.concatenate([every, second, first]),
    )
    values = np.concatenate([diagonal, shared, shared])
    return NormalEquations(coo_array((values, (rows, columns)), shape=(count, count)), right)


def overlapping(
    profiles: Sequence[SourceStamp], shape: Sequence[int]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs of sources whose boxes share pixels of an image.

    Parameters
    ----------
    profiles : sequence of SourceStamp
        Not modified.
    shape : (int, int)
        (ny, nx) of the image.

    Returns
    -------
    first, second : 1-D int
        Numbers of sources from 0, sorted by both; each pair once.
    """
    if not profiles:
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    covered = [profile.overlap(shape)[0] for profile in profiles]
    top, bottom, left, right = np.array(
        [(rows.start, rows.stop, columns.start, columns.stop) for rows, columns in covered]
    ).T
    order = np.argsort(top, kind="stable")
    # Of sources sorted by their first row, those that begin before one ends follow right after it.
    ends = np.searchsorted(top[order], bottom[order])
    ranks = np.arange(order.size)
    counts = np.maximum(ends - ranks - 1, 0)
    one = np.repeat(ranks, counts)
    steps = np.arange(one.size) - np.repeat(np.cumsum(counts) - counts, counts)
    i, j = order[one], order[one + 1 + steps]
    meet = (left[i] < right[j]) & (left[j] < right[i])
    pairs = np.sort(np.stack([i[meet], j[meet]]), axis=0)
    by_first = np.lexsort((pairs[1], pairs[0]))
    return pairs[0][by_first], pairs[1][by_first]


def _weighed(profile: SourceStamp, weight: NDArray[np.float64]) -> _Weighed:
    on_image, of_box = profile.overlap(weight.shape)
    light = profile.data[of_box]
    return _Weighed((on_image[0].start, on_image[1].start), light, light * weight[on_image])
