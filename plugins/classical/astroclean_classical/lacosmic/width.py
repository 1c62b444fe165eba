"""For `lacosmic`: how wide the point sources of a frame are, from the frame itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.psf.psf import Psf
from astroclean.core.psf.stamp import FINER
from astroclean_classical.lacosmic.sources import BOX, PointSources, patches_at, without_sky
from astroclean_classical.lacosmic.stars import peaks_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Stars", "WidthGatherer"]

# Peaks that are looked at; hits are among them.
_MOST_PEAKS = 600
_FEWEST_STARS = 8
# Steps of 8 %: what a quarter of a pixel between the images leaves uncertain.
_WIDTHS = (0.5, *np.round(0.8 * 1.08 ** np.arange(23), 3))
_NARROWEST = 1.0
_SAME_WIDTH = 0.16
_LARGEST_CHI2 = 2.0
# A peak stands out when it exceeds pixels four away by so many times their range, which is about
# three standard deviations of noise.
_RANGES = 5.0
# For the profile: stars so far above the noise, and nearly of the width.
_BRIGHT, _NEARLY_CHI2 = 20.0, 12.0
_FEWEST_FOR_PROFILE, _FEWEST_SAMPLES = 20, 5
_AROUND = ((-4, -4), (-4, 0), (-4, 4), (0, -4), (0, 4), (4, -4), (4, 0), (4, 4))


@dataclass(frozen=True, eq=False)
class Stars:
    """What the point sources of a frame look like."""

    fwhm_pixels: float
    """Of a Gaussian, integrated over the pixels."""
    fine: NDArray[np.float64] | None
    """Their image at quarters of a pixel, of sum about 1 a pixel; None where few are bright."""


class WidthGatherer:
    """Gathers point sources of a frame from its rows, in order; of many, a sample.

    Parameters
    ----------
    shape : (ny, nx)
        Of the whole frame.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._row = 0
        self._keys = np.zeros(0, dtype=np.uint64)
        self._patches = np.zeros((0, 2 * BOX + 1, 2 * BOX + 1))

    def add(self, data: NDArray[np.float32], valid: NDArray[np.bool_], rows: slice) -> None:
        """Take the next rows; ``data`` and ``valid`` hold 4 rows more on either side, if there are.

        Parameters
        ----------
        data : (n, nx) float32
            Pixels. Not modified.
        valid : (n, nx) bool
            Pixels to believe: not saturated, not flagged.
        rows : slice
            The rows that are new.
        """
        start, self._row = self._row - rows.start, self._row + rows.stop - rows.start
        first, last = max(rows.start - BOX, 0), min(rows.stop + BOX, len(data))
        shown = np.where(valid[first:last], data[first:last], np.float32(np.nan))
        near = np.zeros(shown.shape, dtype=bool)
        near[rows.start - first : rows.stop - first, BOX:-BOX] = True
        near[: max(BOX - (start + first), 0)] = False
        near[max(self._shape[0] - BOX - (start + first), 0) :] = False
        y, x = peaks_of(np.nan_to_num(shown, nan=-np.inf), near & np.isfinite(shown))
        around = np.stack([shown[y + dy, x + dx] for dy, dx in _AROUND], axis=1)
        spread = around.max(axis=1, initial=-np.inf) - around.min(axis=1, initial=np.inf)
        bright = shown[y, x] - np.median(around, axis=1) > _RANGES * spread
        y, x = y[bright], x[bright]
        # A sample that does not depend on how the rows came: by a hash of the place.
        place = (y + start + first).astype(np.uint64) * np.uint64(self._shape[1])
        keys = (place + x.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        keys = np.concatenate([self._keys, keys])
        chosen = np.argsort(keys, kind="stable")[:_MOST_PEAKS]
        old = len(self._keys)
        new = chosen[chosen >= old] - old
        found = patches_at(shown, y[new], x[new])
        patches = np.empty((len(chosen), *found.shape[1:]))
        patches[chosen < old] = self._patches[chosen[chosen < old]]
        patches[chosen >= old] = found
        self._keys, self._patches = keys[chosen], patches

    def finish(self, noise: float) -> Stars | None:
        """Return what most point sources agree on; None where there are few.

        Parameters
        ----------
        noise : float
            Of the sky, in the unit of the frame.
        """
        if len(self._patches) < _FEWEST_STARS:
            return None
        patches = without_sky(self._patches)
        variance = np.where(np.isfinite(patches), np.square(noise), np.inf)
        sources = PointSources.of_widths(_WIDTHS, moffat=False)
        chi2, which, _ = sources.fit(np.nan_to_num(patches), variance)
        widths = sources.widths[which]
        widths = np.sort(widths[(chi2 < _LARGEST_CHI2) & (widths >= _NARROWEST)])
        if len(widths) < _FEWEST_STARS:
            return None
        agree = np.abs(np.log(widths[:, None] / widths)) <= _SAME_WIDTH
        counts = agree.sum(axis=1)
        best = np.argmax(counts)
        if counts[best] < _FEWEST_STARS:
            return None
        fwhm = float(np.exp(np.log(widths[agree[best]]).mean()))
        return Stars(fwhm, _profile(patches, variance, fwhm))


def _profile(
    patches: NDArray[np.float64], variance: NDArray[np.float64], fwhm: float
) -> NDArray[np.float64] | None:
    """Return the image of a star at quarters of a pixel, from all that nearly have its width.

    What the stars have beyond a Gaussian is placed where each lies between the pixels, and the
    median of all is added to it (one iteration of Anderson & King 2000, PASP 112, 1360).
    """
    model = PointSources.of_widths([fwhm], moffat=False)
    chi2, which, flux = model.fit(np.nan_to_num(patches), variance)
    bright = flux * model.images[which].max(axis=(1, 2)) > _BRIGHT * np.sqrt(variance[:, BOX, BOX])
    chosen = np.nonzero((chi2 < _NEARLY_CHI2) & bright)[0]
    if len(chosen) < _FEWEST_FOR_PROFILE:
        return None
    reach = BOX * FINER + FINER // 2
    beyond = patches[chosen] / flux[chosen, None, None] - model.images[which[chosen]]
    # The images come by rows of their place, from -2 to 2 quarters of a pixel.
    dy, dx = which[chosen] // (FINER + 1) - FINER // 2, which[chosen] % (FINER + 1) - FINER // 2
    fine = np.full((2 * reach + 1, 2 * reach + 1), np.nan)
    steps = np.arange(-BOX, BOX + 1) * FINER + reach
    samples = np.full((len(chosen), *fine.shape), np.nan)
    for number in range(len(chosen)):
        rows, columns = steps - dy[number], steps - dx[number]
        samples[number, rows[:, None], columns] = beyond[number]
    difference = np.zeros_like(fine)
    for row in range(fine.shape[0]):
        for column in range(fine.shape[1]):
            near = samples[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            values = near[np.isfinite(near)]
            if len(values) >= _FEWEST_SAMPLES:
                difference[row, column] = np.median(values)
    gaussian = Psf.gaussian(fwhm_pixels=fwhm).fine[0]
    whole = np.zeros_like(fine)
    half = min(gaussian.shape[0] // 2, reach)
    middle = gaussian.shape[0] // 2
    whole[reach - half : reach + half + 1, reach - half : reach + half + 1] = gaussian[
        middle - half : middle + half + 1, middle - half : middle + half + 1
    ]
    profile: NDArray[np.float64] = np.maximum(whole + difference, 0)
    return profile
