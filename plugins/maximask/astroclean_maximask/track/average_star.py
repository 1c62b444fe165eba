"""What a star looks like on a tile, in the mean: all that the compact screening network sees.

An error of tracking or focus is in every star alike. Two averages show it whatever the field: the
autocorrelation of the tile, to which all light adds, crowded or not; and the median of the
surroundings of peaks, which also tells on which side a trail of lost charge is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["INPUT", "SIDE", "around_peaks", "average_star"]

INPUT = "average_star"
"""Name of the network's input."""
_REACH = 40
"""Pixels on each side of the centre."""
SIDE = 2 * _REACH + 1
_SOFT = 3.0
"""Noise units at which compression sets in: a single bright star must not be all that counts."""
_PEAK = 5.0
"""Least mean of 3 x 3 pixels around a peak, in units of the noise of one pixel."""
_SHARPEST = 0.25
"""Least part of its highest pixel that the mean around a peak has: 0.3 for stars with an FWHM of
1.5 pixels, 0.11 and 0.22 for charge in one pixel or two."""
_APART = 7
"""No two peaks in a box of this side."""
_MOST = 80
"""Peaks, the brightest, whose surroundings are averaged."""
_LIMIT = 2.0
"""Values beyond are cut: where there is hardly any light, a quotient says nothing."""


def average_star(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return autocorrelation and median surroundings of peaks of a tile.

    Parameters
    ----------
    pixels : (ny, nx) float32
        Sky-subtracted values in units of the noise; sides of at least 81 pixels.

    Returns
    -------
    (2, 81, 81) float32
        Each 1 near its centre; the second is 0 where no peak is found.
    """
    light = np.arcsinh(np.clip(pixels, -_PEAK, None) / _SOFT)
    found = np.stack([_autocorrelation(light), around_peaks(pixels, _REACH)])
    return np.clip(found, -_LIMIT, _LIMIT).astype(np.float32)


def _autocorrelation(light: NDArray[np.floating]) -> NDArray[np.float64]:
    from scipy import fft  # noqa: PLC0415 - slow to import

    # Half of the light is sky: its level must not correlate with itself.
    light = light - np.median(light)
    shape = [fft.next_fast_len(side + _REACH, real=True) for side in light.shape]
    power = np.abs(fft.rfft2(light - light.mean(), s=shape)) ** 2
    lags = np.roll(fft.irfft2(power, s=shape), (_REACH, _REACH), axis=(0, 1))
    lags = lags[:SIDE, :SIDE].astype(np.float64)
    steps = np.abs(np.arange(-_REACH, _REACH + 1))
    lags /= (light.shape[0] - steps)[:, np.newaxis] * (light.shape[1] - steps)
    # Noise correlates with itself at lag zero alone; the neighbors tell what light has there.
    beside = lags[
        [_REACH - 1, _REACH, _REACH, _REACH + 1], [_REACH, _REACH - 1, _REACH + 1, _REACH]
    ].mean()
    lags[_REACH, _REACH] = beside
    return np.asarray(lags / max(beside, 1e-3))


def around_peaks(pixels: NDArray[np.float32], reach: int) -> NDArray[np.float64]:
    """Return the median surroundings of the brightest peaks, which is what a star looks like.

    Parameters
    ----------
    pixels : (ny, nx) float32
        Sky-subtracted values in units of the noise. Not modified.
    reach : int
        Pixels on each side of a peak.

    Returns
    -------
    (2 reach + 1, 2 reach + 1) float64
        About 1 in the middle, or 0 everywhere where no peak is found. New.
    """
    from scipy.ndimage import maximum_filter, uniform_filter  # noqa: PLC0415 - slow to import

    side = 2 * reach + 1
    smooth = uniform_filter(pixels, 3)
    is_peak = (smooth == maximum_filter(smooth, _APART)) & (smooth > _PEAK)
    peaks = np.argwhere(is_peak & (smooth > _SHARPEST * maximum_filter(pixels, 3)))
    if not len(peaks):
        return np.zeros((side, side))
    heights = smooth[tuple(peaks.T)]
    chosen = np.argsort(-heights, kind="stable")[:_MOST]
    padded = np.pad(pixels, reach, mode="constant", constant_values=np.nan)
    stamps = np.empty((chosen.size, side, side), dtype=np.float32)
    for place, index in enumerate(chosen):
        y, x = peaks[index]
        stamps[place] = padded[y : y + side, x : x + side] / heights[index]
    missing = np.isnan(stamps).all(axis=0)
    stamps[:, missing] = 0
    return np.asarray(np.nanmedian(stamps, axis=0), dtype=np.float64)
