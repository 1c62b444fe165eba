"""Lines of the detector, hot and dead: for `badpix`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from astroclean_classical.star_lines import lines_of_stars

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Lines", "found_lines"]

# The standard error of a median of Gaussian values, in sigma / sqrt(n).
_MEDIAN_ERROR = 1.2533
_LINE_BOX, _END_BOX = 9, 5
_SIDE = 8
"""Lines on each side that a line is compared with; of four bad ones side by side most are good."""
_FEWEST_PIXELS = 8


class Lines(NamedTuple):
    """Lines along one axis, each (ny, nx) bool."""

    hot: NDArray[np.bool_]
    dead: NDArray[np.bool_]
    of_stars: NDArray[np.bool_]
    """Trails, spikes, and what of a line lies upon a star."""


def found_lines(
    data: NDArray[np.float32],
    bad: NDArray[np.bool_],
    cores: NDArray[np.bool_],
    *,
    axis: int,
    length: int,
    sigma: float,
) -> Lines:
    """Return hot and dead lines.

    Parameters
    ----------
    data : (ny, nx) float32
        Without NaN. Not modified.
    bad, cores : (ny, nx) bool
        Pixels not to be read; those of bright stars.
    axis : int
        Along which the lines are: 0, columns.
    length : int
        Of the pieces in which they are judged, pixels.
    sigma : float
        Least deviation of a piece, in standard deviations of such deviations.
    """
    from scipy.ndimage import median_filter  # noqa: PLC0415 - heavy

    image = data if axis == 0 else data.T
    ignored, stars = (plane if axis == 0 else plane.T for plane in (bad, cores))
    across = image - median_filter(image, size=(1, _LINE_BOX), mode="reflect")
    hot = np.zeros(image.shape, dtype=bool)
    dead = np.zeros(image.shape, dtype=bool)
    for start in range(0, image.shape[0], length // 2):
        # The last piece is as long as the others where the frame allows.
        start = max(min(start, image.shape[0] - length), 0)  # noqa: PLW2901
        piece = slice(start, start + length)
        score = _line_scores(across[piece], ignored[piece])
        if (np.abs(score) > sigma).any():
            score = np.where(_is_step(image[piece], across[piece], ignored[piece]), 0, score)
        hot[piece] |= score > sigma
        dead[piece] |= score < -sigma
    planes = []
    of_stars = np.zeros(image.shape, dtype=bool)
    for found, height in ((hot, across), (dead, -across)):
        whole = _to_its_ends(found, height)
        not_theirs = lines_of_stars(whole, height, stars, shortest=length // 2)
        of_stars |= not_theirs
        planes.append(whole & ~not_theirs)
    return Lines(*(plane if axis == 0 else plane.T for plane in (*planes, of_stars)))


def _is_step(
    image: NDArray[np.float32], across: NDArray[np.float32], bad: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return the columns that do not stand out from the columns on both sides of them.

    At the edge of an area of another level, such as the overscan, the median of what is around a
    column is of the one or the other level by chance. A side beyond the border does not count.
    """
    values, heights = (np.where(bad, np.nan, plane) for plane in (image, across))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # columns without a value
        middle, height = np.nanmedian(values, axis=0), np.nanmedian(heights, axis=0)
        padded = np.pad(middle, _SIDE, constant_values=np.nan)
        sides = np.lib.stride_tricks.sliding_window_view(padded, _SIDE)
        before = middle - np.nanmedian(sides[: len(middle)], axis=1)
        after = middle - np.nanmedian(sides[_SIDE + 1 :], axis=1)
    same = [
        np.isnan(step) | (step * np.sign(height) > 0.5 * np.abs(height)) for step in (before, after)
    ]
    step: NDArray[np.bool_] = ~(same[0] & same[1])
    return step


def _to_its_ends(found: NDArray[np.bool_], height: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Extend lines, found in whole pieces, for as long as they stand out by half their height."""
    from scipy.ndimage import label, median_filter  # noqa: PLC0415 - heavy

    extended = found.copy()
    for x in np.flatnonzero(found.any(axis=0)):
        own = found[:, x]
        smooth = median_filter(height[:, x], size=_END_BOX, mode="nearest")
        labels, _ = label(own | (smooth > 0.5 * np.median(height[own, x])))
        extended[:, x] = np.isin(labels, np.unique(labels[own]))
    return extended


def _line_scores(across: NDArray[np.float32], bad: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the deviation of each column from its neighbors, over what is usual."""
    from astropy.stats import mad_std  # noqa: PLC0415 - heavy

    columns = np.count_nonzero(~bad, axis=0) >= _FEWEST_PIXELS
    score = np.zeros(across.shape[1])
    if np.count_nonzero(columns) < _FEWEST_PIXELS:
        return score
    values = np.where(bad, np.nan, across)[:, columns]
    middle = np.nanmedian(values, axis=0)
    own = mad_std(values, axis=0, ignore_nan=True) / np.sqrt(np.sum(~np.isnan(values), axis=0))
    # Against the scatter among the columns and against the line's own noise.
    usual = np.maximum(mad_std(middle), _MEDIAN_ERROR * own)
    score[columns] = np.divide(middle, usual, out=np.zeros_like(middle, float), where=usual > 0)
    return score
