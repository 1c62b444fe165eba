"""Estimate the PSF of a frame from its own stars."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.psf import Psf
from astroclean.errors import PsfError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.frame import Frame

__all__ = ["estimate_psf"]

_FEWEST_STARS = 3
_DETECTION_SIGMA = 10.0
# Of the level at which the response is known to bend, where a saturation level is known.
_LINEAR_FRACTION = 0.8
_NARROWEST_FWHM = 1.2
_WIDTH_TOLERANCE = 0.25
# A neighbor of this brightness within the stamp would show in the stack.
_NEIGHBOR_FRACTION = 0.1
_SMALLEST_STAMP, _LARGEST_STAMP, _STAMP_FWHMS = 11, 101, 7
# Crowded fields have stars that are alone on small stamps only, so these are tried first.
_TRIAL_STAMPS, _LEAST_FWHMS = (11, 23, 47, 95), 4
# Detectors with many bad pixels have no stamp without any.
_CLEAN_CORE, _MOST_BAD = 2, 0.25
# Candidates looked at for each star wanted: galaxies and blends are among them.
_TRIES_PER_STAR = 8


@dataclass(frozen=True, eq=False)
class _Star:
    """A cut-out, background subtracted; its centroid (x, y) is that of the star in it."""

    cutout: NDArray[np.float64]
    x: float
    y: float
    fwhm: float


def estimate_psf(
    frame: Frame, *, size: int | None = None, max_stars: int = 50
) -> tuple[Psf, dict[str, float]]:
    """Estimate the PSF from isolated, bright, unsaturated and unflagged stars.

    Peaks are found with photutils; each star is centered on a Gaussian fit, moved to the center of
    a pixel with cubic splines and scaled to its flux; the PSF is the median of all.

    Parameters
    ----------
    frame : Frame
        Any unit. Not modified.
    size : int, optional
        Side of the stamp in pixels, odd, at least 5; by default seven FWHM.
    max_stars : int
        Most stars to use, the brightest first; at least 3.

    Returns
    -------
    psf : Psf
        One stamp for the whole frame, without negative values.
    metrics : dict of str to float
        ``stars used`` and ``fwhm pixels``.

    Raises
    ------
    PsfError
        Fewer than three usable stars, or ``size`` is even or too small.
    """
    if size is not None and (size < 5 or size % 2 == 0):  # noqa: PLR2004
        raise PsfError("side of the PSF stamp must be odd and at least 5", received=size)
    sky, noise = _background(frame)
    peaks = _peaks(frame, sky, noise)
    if size is None:
        size = _stamp_size(_rough_width(frame, peaks, max_stars))
    stars = _stars(frame, peaks, size, max_stars)
    stars = _of_one_width(stars)[:max_stars]
    if len(stars) < _FEWEST_STARS:
        raise PsfError(
            f"the PSF cannot be estimated: needs {_FEWEST_STARS} isolated, unsaturated stars",
            where=frame.frame_id,
            received=len(stars),
            remedy='Give `[psf]` with `file` or `fwhm = "0.9 arcsec"`.',
        )
    psf = Psf(_stack(stars))
    return psf, {"stars used": float(len(stars)), "fwhm pixels": psf.fwhm_pixels}


def _bad(frame: Frame) -> NDArray[np.bool_]:
    bad: NDArray[np.bool_] = ~frame.usable
    return bad


def _background(frame: Frame) -> tuple[float, float]:
    from astropy.stats import sigma_clipped_stats  # noqa: PLC0415 - core stays light to import

    usable = frame.data[~_bad(frame)]
    if usable.size == 0:
        return 0.0, 0.0
    _, median, deviation = sigma_clipped_stats(usable.astype(np.float64), sigma=3.0)
    return float(median), float(deviation)


def _peaks(frame: Frame, sky: float, noise: float) -> NDArray[np.float64]:
    """Return (x, y, height) of local maxima, the highest first."""
    from photutils.detection import find_peaks  # noqa: PLC0415 - optional extra

    if noise <= 0:
        return np.empty((0, 3))
    image = np.where(_bad(frame), 0.0, frame.data - sky)
    with warnings.catch_warnings():
        # Finding nothing is told by the error for too few stars.
        warnings.simplefilter("ignore")
        found = find_peaks(image, _DETECTION_SIGMA * noise, box_size=5)
    if found is None or len(found) == 0:
        return np.empty((0, 3))
    rows = np.column_stack([found["x_peak"], found["y_peak"], found["peak_value"]]).astype(float)
    return rows[np.argsort(-rows[:, 2], kind="stable")]


def _stars(frame: Frame, peaks: NDArray[np.float64], size: int, max_stars: int) -> list[_Star]:
    """Return measured stars among the peaks, the brightest first."""
    half = size // 2
    bad = _bad(frame)
    saturation = frame.detector.saturation
    limit = math.inf if saturation is None else _LINEAR_FRACTION * saturation
    stars: list[_Star] = []
    tries = 0
    for x, y, height in peaks:
        if tries >= _TRIES_PER_STAR * max_stars:
            break
        column, row = int(x), int(y)
        box = (slice(row - half, row + half + 1), slice(column - half, column + half + 1))
        inside = half <= column < frame.shape[1] - half and half <= row < frame.shape[0] - half
        if not inside or frame.data[row, column] >= limit:
            continue
        if not _is_isolated(peaks, x, y, height=height, reach=half):
            continue
        tries += 1
        cutout = _mended(frame.data[box].astype(np.float64), bad[box])
        star = None if cutout is None else _measured(cutout)
        if star is not None:
            stars.append(star)
    return stars


def _rough_width(frame: Frame, peaks: NDArray[np.float64], max_stars: int) -> float:
    """Return the FWHM measured on the smallest stamps that hold the stars."""
    width = _NARROWEST_FWHM
    for side in _TRIAL_STAMPS:
        width = _typical_width(_stars(frame, peaks, side, max_stars))
        # On a stamp that is too small the rim is no background and the star looks narrow.
        if width < side / _LEAST_FWHMS:
            break
    return width


def _is_isolated(
    peaks: NDArray[np.float64], x: float, y: float, *, height: float, reach: int
) -> bool:
    near = (np.abs(peaks[:, 0] - x) <= reach) & (np.abs(peaks[:, 1] - y) <= reach)
    return int(np.count_nonzero(near & (peaks[:, 2] > _NEIGHBOR_FRACTION * height))) == 1


def _mended(cutout: NDArray[np.float64], bad: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Replace bad pixels in the wings by their mirror images; None where the core has any."""
    half = cutout.shape[0] // 2
    core = slice(half - _CLEAN_CORE, half + _CLEAN_CORE + 1)
    opposite = bad[::-1, ::-1]
    if bad[core, core].any() or bad.mean() > _MOST_BAD:
        return None
    wings = np.median(cutout[~bad])
    return np.where(bad, np.where(opposite, wings, cutout[::-1, ::-1]), cutout)


def _measured(cutout: NDArray[np.float64]) -> _Star | None:
    """Subtract the background of the rim, and measure; None where that fails."""
    from photutils.centroids import centroid_2dg  # noqa: PLC0415 - optional extra

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
    return _Star(flat, half + float(offset[0]), half + float(offset[1]), fwhm)


def _typical_width(stars: list[_Star]) -> float:
    """Return the FWHM around which most stars lie (half-sample mode): galaxies are wider."""
    widths = np.sort([star.fwhm for star in stars if star.fwhm >= _NARROWEST_FWHM])
    while len(widths) > _FEWEST_STARS:
        count = (len(widths) + 1) // 2
        spans = widths[count - 1 :] - widths[: len(widths) - count + 1]
        start = int(np.argmin(spans))
        widths = widths[start : start + count]
    return float(np.mean(widths)) if len(widths) else _NARROWEST_FWHM


def _of_one_width(stars: list[_Star]) -> list[_Star]:
    if not stars:
        return stars
    typical = _typical_width(stars)
    # Widths from counted pixels are coarse where stars have few of them.
    tolerance = max(_WIDTH_TOLERANCE * typical, 0.5)
    return [
        star
        for star in stars
        if star.fwhm >= _NARROWEST_FWHM and abs(star.fwhm - typical) <= tolerance
    ]


def _stamp_size(fwhm: float) -> int:
    side = math.ceil(_STAMP_FWHMS * fwhm) | 1
    return min(max(side, _SMALLEST_STAMP), _LARGEST_STAMP)


def _stack(stars: list[_Star]) -> NDArray[np.float64]:
    """Return the median of the stars, centered and scaled to the same flux."""
    from scipy.ndimage import shift  # noqa: PLC0415 - optional extra

    half = stars[0].cutout.shape[0] // 2
    centered = []
    for star in stars:
        moved = shift(star.cutout, (half - star.y, half - star.x), order=3, mode="nearest")
        centered.append(moved / moved.sum())
    stack: NDArray[np.float64] = np.median(centered, axis=0)
    return np.maximum(stack, 0)
