"""Pixels so far below the sky, from one pixel to the next, that no light tells their values.

Signed integers that wrapped, dead pixels, words lost in transmission: they are few, and nothing of
the sky looks like them. Shadows and chips without light are wide; negative images of stars, in
differences of exposures, have soft edges.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.stats import mad_std

from astroclean.core.image.noise import SIGMA_PER_MAD
from astroclean.core.stage.scope import chunk_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["FAR", "LOW_REACH", "far_below_sky", "filled_far_below", "sample_step", "sky_of"]

FAR = 10.0
"""Standard deviations below the sky that noise does not reach."""
_WIDE = 7
"""What holds a square of this side is an area of its own; so is what lies around it."""
_AROUND = 7
"""Half the side of the square whose level and scatter a pixel is compared with."""
_FEWEST = 8
_EDGE, _EDGE_NOISE = 0.1, 10.0
"""Share of the square without data from which a pixel lies at the edge of the coverage. Within few
pixels the noise grows there, by more than is seen of it: so many times as deep is far."""
_STEP = 0.7
"""Of the mean depth around, which the edges of a group have; of stars of FWHM 2.5 pixels, whatever
part is in the group, .67 at most."""
LOW_REACH = max(_WIDE // 2 + _WIDE - 1, _AROUND)
"""How far a pixel may be that decides on another."""
_SAMPLE = 1_000_000
_BATCH = 20_000


def sample_step(shape: tuple[int, int]) -> int:
    """Return how far apart the pixels are, on both axes, in which sky and noise are measured."""
    return max(1, math.isqrt(shape[0] * shape[1] // _SAMPLE))


def sky_of(sample: NDArray[np.float32]) -> tuple[float, float] | None:
    """Return level and noise of the sky; None without a finite pixel.

    Parameters
    ----------
    sample : array of float32
        Pixels of the frame. Not modified.
    """
    finite = sample[np.isfinite(sample)]
    return (float(np.median(finite)), float(mad_std(finite))) if finite.size else None


def far_below_sky(frame: Frame, sigma: float = FAR) -> NDArray[np.bool_]:
    """Return usable pixels whose values no light tells: narrow, sharp, and far below the sky.

    Parameters
    ----------
    frame : Frame
        Not modified.
    sigma : float
        How far, in standard deviations of the sky of the frame and of the surroundings of the
        pixel.

    Returns
    -------
    (ny, nx) bool
        New; a part of ``frame.usable``. None of a frame without noise.
    """
    from scipy.ndimage import maximum_filter, minimum_filter  # noqa: PLC0415 - heavy

    usable, (sky, noise) = frame.usable, _sky_of_frame(frame)
    floor = np.float32(sky - sigma * noise)
    # Flags within an area do not make it narrow.
    below = frame.data < floor
    low: NDArray[np.bool_] = usable & below
    if not low.any():
        return low
    core = minimum_filter(below, size=_WIDE, mode="nearest")
    y, x = np.nonzero(low & ~maximum_filter(core, size=2 * _WIDE - 1, mode="nearest"))
    found = np.zeros_like(low)
    shown = _Surroundings(
        frame.data, plain=usable & ~low, low=low, sky=float(np.float32(sky)), floor=float(floor)
    )
    for start in range(0, len(y), _BATCH):
        part = slice(start, start + _BATCH)
        found[y[part], x[part]] = shown.stand_out(y[part], x[part], sigma)
    return found


def filled_far_below(
    before: Frame, data: NDArray[np.float32], filled: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return filled pixels that came to lie far below the sky, where most around them do not.

    Parameters
    ----------
    before : Frame
        As it was. Not modified.
    data : (ny, nx) float32
        As it is now.
    filled : (ny, nx) bool
        Pixels with another value.

    Returns
    -------
    (ny, nx) bool
        New; a part of ``filled``.
    """
    sky, noise = _sky_of_frame(before)
    floor = np.float32(sky - FAR * noise)
    fallen: NDArray[np.bool_] = filled & (data < floor)
    if not fallen.any():
        return fallen
    measured = before.usable & ~filled & ~far_below_sky(before)
    y, x = np.nonzero(fallen)
    around, low = (
        _windows(plane, _AROUND) for plane in (measured, measured & (before.data < floor))
    )
    for start in range(0, len(y), _BATCH):
        here = y[start : start + _BATCH], x[start : start + _BATCH]
        # Within a shadow, what is filled is as dark as what surrounds it.
        fallen[here] = 2 * low[here].sum(axis=(1, 2)) <= around[here].sum(axis=(1, 2))
    return fallen


def _sky_of_frame(frame: Frame) -> tuple[float, float]:
    """Return level and noise of the sky of the whole frame; a level below all without noise."""
    step = sample_step(frame.shape)
    measured = chunk_of(frame).sky or sky_of(frame.data[::step, ::step])
    if measured is None or not measured[1] > 0:
        return -np.inf, 0.0
    return measured


class _Surroundings:
    """The squares around pixels, of which each answer depends on nothing else."""

    def __init__(
        self,
        data: NDArray[np.float32],
        *,
        plain: NDArray[np.bool_],
        low: NDArray[np.bool_],
        sky: float,
        floor: float,
    ) -> None:
        self._sky, self._floor = sky, floor
        self._empty = _windows(np.isnan(data), _AROUND)
        known = np.where(plain | low, data, np.float32(np.nan))
        self._plain = _windows(np.where(plain, data, np.float32(np.nan)), _AROUND)
        self._known = _windows(known, _WIDE // 2 + 1)
        self._low = _windows(low, _WIDE // 2 + 1)

    def stand_out(
        self, y: NDArray[np.intp], x: NDArray[np.intp], sigma: float
    ) -> NDArray[np.bool_]:
        """Return which low pixels lie far below their surroundings, in a group with sharp edges."""
        squares = self._plain[y, x]
        around, count = _ordered(squares)
        middle = _ranked(around, (count - 1) // 2)
        # Noise may begin to be larger beside the pixel: each corner for itself.
        ends = slice(None, _AROUND + 1), slice(_AROUND, None)
        scatter = np.max([self._scatter(squares[:, i, j]) for i in ends for j in ends], axis=0)
        known, low = self._known[y, x].astype(np.float64), self._low[y, x]
        own = known[:, known.shape[1] // 2, known.shape[2] // 2]
        level = np.minimum(middle, self._sky)
        far: NDArray[np.bool_] = (count >= _FEWEST) & (own < level - sigma * scatter)
        at_edge = self._empty[y, x].sum(axis=(1, 2)) > _EDGE * around.shape[1]
        far &= ~at_edge | (own < level - _EDGE_NOISE * (level - self._floor))
        depth = np.where(low, middle[:, None, None] - known, 0).sum(axis=(1, 2))
        depth /= low.sum(axis=(1, 2))
        far &= _mean_edge(known, low) > _STEP * depth
        return far

    def _scatter(self, squares: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the deviation of the noise in squares, 0 where too few pixels tell it."""
        around, count = _ordered(squares)
        below = np.count_nonzero(around < self._sky, axis=1)
        # A sixth of a normal distribution lies below minus one deviation. In a star that is its
        # light; what lies below the sky is noise alone, and of that half is below .67 deviations.
        wide = _ranked(around, (count - 1) // 2) - _ranked(around, count // 6)
        deep = (self._sky - _ranked(around, below // 2)) * SIGMA_PER_MAD
        scatter: NDArray[np.float64] = np.where(below < _FEWEST, 0.0, np.fmin(wide, deep))
        return scatter


def _ordered(squares: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Return the values of each square in order, NaN last, and how many are no NaN."""
    ordered = np.sort(squares.reshape(len(squares), -1), axis=1)
    return ordered, np.count_nonzero(~np.isnan(ordered), axis=1)


def _ranked(ordered: NDArray[np.float32], rank: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the value of some rank, from 0, of each row."""
    return ordered[np.arange(len(ordered)), np.maximum(rank, 0)].astype(np.float64)


def _mean_edge(values: NDArray[np.float64], low: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean step from low pixels to those beside them that are not, in each square."""
    total, number = np.zeros(len(values)), np.zeros(len(values))
    for one, other in (
        (np.s_[:, 1:, :], np.s_[:, :-1, :]),
        (np.s_[:, :, 1:], np.s_[:, :, :-1]),
    ):
        step = values[one] - values[other]
        edge = (low[one] != low[other]) & np.isfinite(step)
        total += np.where(edge, np.abs(step), 0).sum(axis=(1, 2))
        number += edge.sum(axis=(1, 2))
    return total / np.maximum(number, 1)


def _windows(image: NDArray[Any], half: int) -> NDArray[Any]:
    blank = np.nan if image.dtype.kind == "f" else False
    padded = np.pad(image, half, constant_values=blank)
    return np.lib.stride_tricks.sliding_window_view(padded, (2 * half + 1,) * 2)
