"""Stars of a frame, cut out and measured, of which its PSF is made."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "FEWEST_STARS",
    "LARGEST_STAMP",
    "Star",
    "measured_star",
    "mended_cutout",
    "stacked_stars",
    "stamp_size",
    "stars_of_one_width",
    "typical_width",
]

FEWEST_STARS = 3
_NARROWEST_FWHM = 1.2
_WIDTH_TOLERANCE = 0.25
_SMALLEST_STAMP, LARGEST_STAMP, _STAMP_FWHMS = 11, 101, 7
# Detectors with many bad pixels have no stamp without any.
_CLEAN_CORE, _MOST_BAD = 2, 0.25


@dataclass(frozen=True, eq=False)
class Star:
    """A cut-out, background subtracted; its centroid (x, y) is that of the star in it."""

    cutout: NDArray[np.float64]
    x: float
    y: float
    fwhm: float


def mended_cutout(
    cutout: NDArray[np.float64], bad: NDArray[np.bool_]
) -> NDArray[np.float64] | None:
    """Replace bad pixels in the wings by their mirror images; None where the core has any."""
    half = cutout.shape[0] // 2
    core = slice(half - _CLEAN_CORE, half + _CLEAN_CORE + 1)
    opposite = bad[::-1, ::-1]
    if bad[core, core].any() or bad.mean() > _MOST_BAD:
        return None
    wings = np.median(cutout[~bad])
    return np.where(bad, np.where(opposite, wings, cutout[::-1, ::-1]), cutout)


def measured_star(cutout: NDArray[np.float64]) -> Star | None:
    """Subtract the background of the rim, and measure; None where that fails."""
    from photutils.centroids import centroid_2dg  # noqa: PLC0415 - slow to import

    half = cutout.shape[0] // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    flat = cutout - np.median(cutout[np.hypot(x, y) > 0.85 * half])
    fwhm = 2 * math.sqrt(np.count_nonzero(flat >= flat.max() / 2) / math.pi)
    if not flat.max() > 0:
        return None
    # The core alone is fitted, so that neighbors in the corners do not draw the center; scaled,
    # because the fit ends at an absolute step.
    core = max(2, min(half, math.ceil(1.5 * fwhm)))
    inner = slice(half - core, half + core + 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cx, cy = centroid_2dg(flat[inner, inner] / flat.max())
    offset = (cx - core, cy - core)
    # A fit that complained or went astray is of no star.
    if caught or not max(abs(offset[0]), abs(offset[1])) < 1 or flat.sum() <= 0:
        return None
    return Star(flat, half + float(offset[0]), half + float(offset[1]), fwhm)


def typical_width(stars: list[Star]) -> float:
    """Return the FWHM around which most stars lie (half-sample mode): galaxies are wider."""
    widths = np.sort([star.fwhm for star in stars if star.fwhm >= _NARROWEST_FWHM])
    while len(widths) > FEWEST_STARS:
        count = (len(widths) + 1) // 2
        spans = widths[count - 1 :] - widths[: len(widths) - count + 1]
        start = int(np.argmin(spans))
        widths = widths[start : start + count]
    return float(np.mean(widths)) if len(widths) else _NARROWEST_FWHM


def stars_of_one_width(stars: list[Star]) -> list[Star]:
    """Return the stars that are about as wide as most."""
    if not stars:
        return stars
    typical = typical_width(stars)
    # Widths from counted pixels are coarse where stars have few of them.
    tolerance = max(_WIDTH_TOLERANCE * typical, 0.5)
    return [
        star
        for star in stars
        if star.fwhm >= _NARROWEST_FWHM and abs(star.fwhm - typical) <= tolerance
    ]


def stamp_size(fwhm: float) -> int:
    """Return the side of the stamp of a PSF of some width, in pixels, odd."""
    side = math.ceil(_STAMP_FWHMS * fwhm) | 1
    return min(max(side, _SMALLEST_STAMP), LARGEST_STAMP)


def stacked_stars(stars: list[Star]) -> NDArray[np.float64]:
    """Return the median of the stars, centered and scaled to the same flux."""
    from scipy.ndimage import shift  # noqa: PLC0415 - slow to import

    half = stars[0].cutout.shape[0] // 2
    centered = []
    for star in stars:
        moved = shift(star.cutout, (half - star.y, half - star.x), order=3, mode="nearest")
        centered.append(moved / moved.sum())
    stack: NDArray[np.float64] = np.median(centered, axis=0)
    return np.maximum(stack, 0)
