"""Which peaks of a tile are stars: not hits, not galaxies, not saturated, as alone as may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Peaks", "choose_stars", "find_peaks", "without_points"]

_SHARPEST = 0.24
"""Least part of its highest pixel that the mean of 3 x 3 pixels around a star has: 0.3 for an FWHM
of 1.5 pixels; 0.11 and 0.22 for charge in one pixel or two."""
_SMOOTH = 1.2
"""Pixels, standard deviation, before peaks are sought."""
_FAINTEST = 8.0
"""Least height of a peak in units of the noise there."""
_APART = 9
_MOST = 160
"""Peaks that are looked at, the brightest."""
_REACH = 20
"""Pixels around a peak in which the region above half of it is followed."""
_COMPACT = 0.5
"""Least ratio of the light beside a peak to that of a round star of the same area."""
_ALIKE, _MEMBERS = 0.2, 0.35
"""Stars are where most areas agree: largest differences of their logarithms, to find the place and
to belong to it."""
_AS_HITS, _LARGER = 3.2, 0.5
"""Pixels of area up to which hits may pass for stars, and how much larger, as a logarithm, true
stars then are."""
_FEWEST, _PART, _UNITED = 3, 0.25, 0.4
"""Least number of these, least share of it, and least part of the larger ones that agrees."""
_STARS = 48
"""Stars that are averaged."""
_FULL = 100.0
"""Units of noise below which no plateau is taken for saturation."""


@dataclass(frozen=True, eq=False)
class Peaks:
    """Peaks of a tile; each array has one entry for each."""

    y: NDArray[np.intp]
    x: NDArray[np.intp]
    height: NDArray[np.float64]
    """Of the smoothed tile."""
    area: NDArray[np.float64]
    """Pixels above half of the peak that hang together with it."""
    is_compact: NDArray[np.bool_]
    """Whether there is as much light beside it as a star has: false for tracks of particles."""

    def __len__(self) -> int:
        return int(self.y.size)

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Peaks:
        """Return some of them."""
        return Peaks(
            self.y[chosen],
            self.x[chosen],
            self.height[chosen],
            self.area[chosen],
            self.is_compact[chosen],
        )


def without_points(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a tile in which charge in one pixel or two has given way to the median around it."""
    from scipy.ndimage import maximum_filter, uniform_filter  # noqa: PLC0415 - optional extra

    is_sharp = (pixels == maximum_filter(pixels, 3)) & (pixels > _FAINTEST)
    is_sharp &= uniform_filter(pixels, 3) < _SHARPEST * pixels
    if not is_sharp.any():
        return pixels
    bad = maximum_filter(is_sharp, 3) & (pixels > 3)  # noqa: PLR2004 - what is not noise
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(pixels, 3, mode="reflect"), (7, 7))
    calm = pixels.copy()
    calm[bad] = np.median(windows[bad].reshape(np.count_nonzero(bad), -1), axis=1)
    return calm


def find_peaks(calm: NDArray[np.float32]) -> Peaks:
    """Find peaks and measure them.

    Parameters
    ----------
    calm : (ny, nx) float32
        Sky-subtracted, in units of the noise; what `without_points` returns.

    Returns
    -------
    Peaks
        The brightest, saturated ones left out.
    """
    from scipy.ndimage import gaussian_filter, maximum_filter  # noqa: PLC0415 - optional extra

    smooth = gaussian_filter(calm, _SMOOTH)
    noise = 1 / (2 * np.sqrt(np.pi) * _SMOOTH)
    is_peak = (smooth == maximum_filter(smooth, _APART)) & (smooth > _FAINTEST * noise)
    is_peak &= maximum_filter(calm, 5) < _saturation(calm)
    is_peak[[0, -1]] = is_peak[:, [0, -1]] = False
    y, x = np.nonzero(is_peak)
    order = np.argsort(-smooth[y, x], kind="stable")[:_MOST]
    y, x = y[order], x[order]
    stamps = _stamps(calm, y, x)
    area, is_highest = _areas(stamps)
    beside = _beside(stamps)
    # A Gaussian whose half maximum encloses this area.
    variance = np.maximum(area, 1.0) / (2 * np.pi * np.log(2))
    expected = 0.5 * (np.exp(-0.5 / variance) + np.exp(-1 / variance))
    found = Peaks(y, x, smooth[y, x].astype(np.float64), area, beside > _COMPACT * expected)
    return found.where(is_highest)


def _saturation(calm: NDArray[np.float32]) -> float:
    """Return a level that only saturated stars reach; infinite where there is no plateau."""
    top = float(calm.max())
    is_plateau = top > _FULL and np.count_nonzero(calm > 0.97 * top) >= 4  # noqa: PLR2004
    return 0.9 * top if is_plateau else np.inf


def _stamps(
    image: NDArray[np.float32], y: NDArray[np.intp], x: NDArray[np.intp]
) -> NDArray[np.float32]:
    padded = np.pad(image, _REACH)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * _REACH + 1, 2 * _REACH + 1))
    return np.ascontiguousarray(windows[y, x])


def _areas(stamps: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return areas above half, and whether the peak is the highest point of its region."""
    from scipy.ndimage import label  # noqa: PLC0415 - optional extra

    if not len(stamps):
        return np.zeros(0), np.zeros(0, dtype=bool)
    middle = slice(_REACH - 1, _REACH + 2)
    peak = stamps[:, middle, middle].max(axis=(1, 2))
    part = stamps / np.maximum(peak, 1e-6)[:, np.newaxis, np.newaxis]
    plane = np.zeros((3, 3, 3), dtype=bool)
    plane[1] = True
    above = part > 0.4  # noqa: PLR2004 - the outermost pixels count in part
    labels, _ = label(above, structure=plane)
    own = labels == labels[:, _REACH, _REACH][:, np.newaxis, np.newaxis]
    own &= above
    # An edge of one pixel counts in part: areas of small stars are no whole numbers.
    area = (own * np.clip((part - 0.4) / 0.2, 0, 1)).sum(axis=(1, 2))
    highest = (part * own).max(axis=(1, 2))
    return np.asarray(area, dtype=np.float64), np.asarray(highest < 1.3)  # noqa: PLR2004 - noise


def _beside(stamps: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean of the eight pixels around the highest one, in units of that."""
    count = len(stamps)
    if not count:
        return np.zeros(0)
    inner = stamps[:, _REACH - 1 : _REACH + 2, _REACH - 1 : _REACH + 2].reshape(count, 9)
    place = inner.argmax(axis=1)
    row, column = place // 3 + _REACH - 1, place % 3 + _REACH - 1
    index = np.arange(count)
    around = [
        stamps[index, row + dy, column + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx
    ]
    peak = np.maximum(stamps[index, row, column], 1e-6)
    return np.asarray(np.mean(around, axis=0) / peak, dtype=np.float64)


def _most_agree(size: NDArray[np.float64]) -> tuple[float, int]:
    """Return the logarithm of an area on which most agree, and how many do."""
    is_alike = np.abs(size[:, np.newaxis] - size) < _ALIKE
    best = is_alike[int(np.argmax(is_alike.sum(axis=1)))]
    return float(np.median(size[best])), int(best.sum())


def choose_stars(peaks: Peaks, calm: NDArray[np.float32]) -> Peaks:
    """Return the stars: compact peaks of the area on which most agree, the least disturbed first.

    Galaxies and tracks have areas of their own each; stars share one, however they are drawn out.

    Parameters
    ----------
    peaks : Peaks
        Of the tile.
    calm : (ny, nx) float32
        The tile.

    Returns
    -------
    Peaks
        At most 48.
    """
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - optional extra

    peaks = peaks.where(peaks.is_compact)
    if not len(peaks):
        return peaks
    size = np.log(np.maximum(peaks.area, 0.5))
    center, agreeing = _most_agree(size)
    if center < np.log(_AS_HITS):
        # So small may also be what is left of the hits: then there are stars beside them.
        larger = size[size > center + _LARGER]
        if larger.size >= max(_FEWEST, _PART * agreeing):
            other, count = _most_agree(larger)
            if count >= max(_FEWEST, _UNITED * larger.size):
                center = other
    peaks = peaks.where(np.abs(size - center) < _MEMBERS)
    width = float(np.sqrt(np.exp(center)))
    around = gaussian_filter(calm, 2 * width)[peaks.y, peaks.x]
    # Light of others around a star, and noise, in units of its height.
    disturbed = (np.clip(around, 0, None) / peaks.height) ** 2 + (1 / peaks.height) ** 2
    return peaks.where(np.argsort(disturbed, kind="stable")[:_STARS])
