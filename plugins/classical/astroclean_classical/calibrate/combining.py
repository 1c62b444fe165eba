"""One image of many by `ccdproc.combine`, with the uncertainty of the mean."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Combined", "combined", "typical_scatter"]

_CLIP = 5.0
_PRIOR = 4.0
"""Images that the usual scatter counts for."""
_UNUSUAL = 2.5
"""Scatter over what is usual, from which a pixel is one of its own: hot, or bright."""
_SAMPLES = 20000
"""Pixels of which the scatter among frames is measured."""


@dataclass(frozen=True, eq=False)
class Combined:
    """The mean of several images."""

    data: NDArray[np.float64]
    error: NDArray[np.float64]
    """Standard error of the mean."""
    bad: NDArray[np.bool_]
    """Pixels that no image has, or one alone after clipping."""


def typical_scatter(images: Sequence[NDArray[np.floating]]) -> float:
    """Return the scatter among images that is usual for a pixel.

    It is the median over pixels, over that of chance (Wilson and Hilferty 1931): of three images
    the median deviation is a sixth too small.
    """
    if not images or not images[0].size:
        return 0.0
    step = max(1, images[0].size // _SAMPLES)
    stack = np.stack([np.asarray(image, dtype=float).ravel()[::step] for image in images])
    scatter = np.std(stack, axis=0, ddof=1)  # NaN where one of them is not usable
    finite = scatter[np.isfinite(scatter)]
    chance = (1 - 2 / (9 * max(len(images) - 1, 1))) ** 1.5
    return float(np.median(finite)) / chance if finite.size else 0.0


def combined(paths: Sequence[Path], *, scatter: float, memory: float) -> Combined:
    """Return the clipped mean of images.

    Clipped are values beyond 5 standard deviations of their pixel: of 10 images none can lie 3
    beyond the mean of all, so the middle is the median, and the deviation is that of the median,
    but at least what is usual in the frame: of few images it is small by chance.

    Parameters
    ----------
    paths : sequence of Path
        As `CCDData` is written; same shape and unit.
    scatter : float
        What is usual among them, in their unit.
    memory : float
        Bytes that may be held.

    Returns
    -------
    Combined
        The standard error is the scatter with n - 1 over the root of n. ccdproc's own has n, and is
        a tenth too small for 5 images.
    """
    from astropy.utils.exceptions import AstropyUserWarning  # noqa: PLC0415 - heavy
    from ccdproc import combine  # noqa: PLC0415 - heavy

    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # pixels that no image has
        warnings.filterwarnings("ignore", "Input data contains invalid", AstropyUserWarning)
        mean = combine(
            [str(path) for path in paths],
            method="average",
            mem_limit=memory,
            sigma_clip=True,
            sigma_clip_low_thresh=_CLIP,
            sigma_clip_high_thresh=_CLIP,
            sigma_clip_func="median",
            sigma_clip_dev_func=_at_least(scatter),
            combine_uncertainty_function=_deviation_of(scatter),
        )
    error = np.asarray(mean.uncertainty.array)
    bad = np.asarray(mean.mask) | ~np.isfinite(mean.data) | ~np.isfinite(error)
    return Combined(np.asarray(mean.data), np.where(np.isfinite(error), error, scatter), bad)


def _deviation_of(scatter: float) -> Callable[..., NDArray[np.float64]]:
    """Return the standard deviation of a pixel among images, with n - 1.

    Of few images it is small by chance, of three that are equal zero. Where it is no larger than
    chance makes it, what is usual in the frame counts with it, as that of some images more.
    """

    def deviation(data: Any, axis: int = 0) -> NDArray[np.float64]:
        own = np.asarray(np.nanstd(data, axis=axis, ddof=1))
        free = np.count_nonzero(np.isfinite(data), axis=axis) - 1.0
        joined = np.sqrt((free * own**2 + _PRIOR * scatter**2) / (free + _PRIOR))
        return np.where(own > _UNUSUAL * scatter, own, joined)

    return deviation


def _at_least(scatter: float) -> Callable[..., NDArray[np.float64]]:
    """Return the deviation of the median of a pixel, not below what is usual."""
    from astropy.stats import mad_std  # noqa: PLC0415 - heavy

    def deviation(data: Any, axis: int | None = None) -> NDArray[np.float64]:
        own: NDArray[np.float64] = mad_std(data, axis=axis, ignore_nan=True)
        return np.maximum(own, scatter)

    return deviation
