"""Estimate the PSF of a frame from its own stars."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.arrays import fill_box
from astroclean.core.psf.psf import Psf
from astroclean.core.psf.stars import (
    FEWEST_STARS,
    Star,
    measured_star,
    mended_cutout,
    stacked_stars,
    stamp_size,
    stars_of_one_width,
    typical_width,
)
from astroclean.core.stage.scope import Survey, chunk_of, measure
from astroclean.errors import PsfError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["estimate_psf", "psf_survey"]

_DETECTION_SIGMA = 10.0
_BOX = 5
_SAMPLE = 4_000_000
# Of the level at which the response is known to bend, where a saturation level is known.
_LINEAR_FRACTION = 0.8
# A neighbor of this brightness within the stamp would show in the stack.
_NEIGHBOR_FRACTION = 0.1
# Crowded fields have stars that are alone on small stamps only, so these are tried first.
_TRIAL_STAMPS, _LEAST_FWHMS = (11, 23, 47, 95), 4
# Candidates looked at for each star wanted: galaxies and blends are among them.
_TRIES_PER_STAR = 8


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
    survey = psf_survey(frame, size=size, max_stars=max_stars)
    estimated: tuple[Psf, dict[str, float]] = measure(
        survey, lambda: [(frame, slice(0, frame.shape[0]))]
    )
    return estimated


def psf_survey(frame: Frame, *, size: int | None = None, max_stars: int = 50) -> Survey:
    """Return what estimates the PSF of a frame from its rows, as `estimate_psf` does.

    Parameters
    ----------
    frame : Frame
        May be a single pixel: only its header and ``chunk`` tell.
    size, max_stars
        As for `estimate_psf`.

    Raises
    ------
    PsfError
        ``size`` is even or too small.
    """
    if size is not None and (size < 5 or size % 2 == 0):  # noqa: PLR2004
        raise PsfError("side of the PSF stamp must be odd and at least 5", received=size)
    saturation = frame.detector.saturation
    limit = math.inf if saturation is None else _LINEAR_FRACTION * saturation
    return _Sky(_Search(chunk_of(frame).shape, frame.frame_id, limit, size, max_stars))


@dataclass(frozen=True)
class _Search:
    """What is looked for."""

    shape: tuple[int, int]
    frame_id: str
    limit: float
    """Value from which a pixel may be saturated."""
    size: int | None
    max_stars: int


def _bad(frame: Frame) -> NDArray[np.bool_]:
    bad: NDArray[np.bool_] = ~frame.usable
    return bad


class _Sky(Survey):
    """Level and noise of the sky; of a large frame from every so many pixels on both axes."""

    def __init__(self, search: _Search) -> None:
        self._search = search
        self._step = math.ceil(math.sqrt(search.shape[0] * search.shape[1] / _SAMPLE)) or 1
        self._seen = [np.empty(0, np.float32)]

    def add(self, frame: Frame, rows: slice) -> None:
        """Take the next rows."""
        start, stop, _ = rows.indices(frame.shape[0])
        first = start + -(chunk_of(frame).origin[0] + start) % self._step
        grid = np.s_[first : stop : self._step, :: self._step]
        self._seen.append(frame.data[grid][~_bad(frame)[grid]])

    def finish(self) -> Survey:
        """Return what finds the peaks above it."""
        from astropy.stats import sigma_clipped_stats  # noqa: PLC0415 - core stays light to import

        usable = np.concatenate(self._seen)
        if usable.size == 0:
            return _Peaks(self._search, 0.0, 0.0)
        _, median, deviation = sigma_clipped_stats(usable.astype(np.float64), sigma=3.0)
        return _Peaks(self._search, float(median), float(deviation))


class _Peaks(Survey):
    """Local maxima; a row is searched once those that can be in its box have come."""

    def __init__(self, search: _Search, sky: float, noise: float) -> None:
        self._search, self._sky, self._noise = search, sky, noise
        self._rows = np.empty((0, search.shape[1]), np.float32)
        self._top = 0
        """Row of the first of those that are kept."""
        self._done = 0
        """Rows that have been searched."""
        self._found = [np.empty((0, 3))]

    def add(self, frame: Frame, rows: slice) -> None:
        """Take the next rows."""
        image = np.where(_bad(frame)[rows], 0.0, frame.data[rows] - self._sky)
        self._rows = np.concatenate([self._rows, image.astype(np.float32, copy=False)])
        come = self._top + len(self._rows)
        self._search_until(come if come == self._search.shape[0] else come - _BOX // 2)
        kept = max(self._done - _BOX // 2, self._top)
        self._rows, self._top = self._rows[kept - self._top :].copy(), kept

    def _search_until(self, stop: int) -> None:
        from photutils.detection import find_peaks  # noqa: PLC0415 - slow to import

        if self._noise > 0 and stop > self._done:
            with warnings.catch_warnings():
                # Finding nothing is told by the error for too few stars.
                warnings.simplefilter("ignore")
                found = find_peaks(self._rows, _DETECTION_SIGMA * self._noise, box_size=_BOX)
            if found is not None and len(found):
                y = np.asarray(found["y_peak"]) + self._top
                columns = [found["x_peak"], y, found["peak_value"]]
                is_new = (y >= self._done) & (y < stop)
                self._found.append(np.column_stack(columns).astype(float)[is_new])
        self._done = max(stop, self._done)

    def finish(self) -> Survey:
        """Return what measures the stars among them."""
        rows = np.concatenate(self._found)
        peaks = rows[np.argsort(-rows[:, 2], kind="stable")]
        if self._search.size is not None:
            return _Stars(self._search, peaks, self._sky, self._search.size)
        return _Stars(self._search, peaks, self._sky, _TRIAL_STAMPS[0], trial=0)


class _Stars(Survey):
    """Stars among the peaks, the brightest first, cut out as their rows come.

    Those of a trial tell how wide stars are; on a stamp that is too small the rim is no background
    and the star looks narrow, and the next trial has larger ones.
    """

    def __init__(
        self,
        search: _Search,
        peaks: NDArray[np.float64],
        sky: float,
        size: int,
        *,
        trial: int | None = None,
    ) -> None:
        self._search, self._peaks, self._sky, self._trial = search, peaks, sky, trial
        self._corners = self._candidates(size)
        self._pixels = np.zeros((len(self._corners), size, size))
        self._bad = np.zeros(self._pixels.shape, dtype=bool)

    def _candidates(self, size: int) -> list[tuple[int, int]]:
        """Return (y, x) of the corners of the stamps that are looked at."""
        half, (ny, nx) = size // 2, self._search.shape
        corners: list[tuple[int, int]] = []
        for x, y, height in self._peaks:
            if len(corners) >= _TRIES_PER_STAR * self._search.max_stars:
                break
            column, row = int(x), int(y)
            inside = half <= column < nx - half and half <= row < ny - half
            if not inside or height + self._sky >= self._search.limit:
                continue
            if _is_isolated(self._peaks, x, y, height=height, reach=half):
                corners.append((row - half, column - half))
        return corners

    def add(self, frame: Frame, rows: slice) -> None:
        """Take the next rows."""
        first = chunk_of(frame).origin[0] + rows.indices(frame.shape[0])[0]
        data, bad = frame.data[rows], _bad(frame)[rows]
        for (y, x), pixels, spoilt in zip(self._corners, self._pixels, self._bad, strict=True):
            fill_box(pixels, data, (y - first, x))
            fill_box(spoilt, bad, (y - first, x))

    def finish(self) -> Survey | tuple[Psf, dict[str, float]]:
        """Return the next survey, or the PSF with what is to be said of it."""
        stars = []
        for pixels, bad in zip(self._pixels, self._bad, strict=True):
            cutout = mended_cutout(pixels, bad)
            star = None if cutout is None else measured_star(cutout)
            if star is not None:
                stars.append(star)
        return self._estimated(stars) if self._trial is None else self._next(stars, self._trial)

    def _next(self, stars: list[Star], trial: int) -> Survey:
        width = typical_width(stars)
        following = trial + 1
        if width < _TRIAL_STAMPS[trial] / _LEAST_FWHMS or following == len(_TRIAL_STAMPS):
            return _Stars(self._search, self._peaks, self._sky, stamp_size(width))
        side = _TRIAL_STAMPS[following]
        return _Stars(self._search, self._peaks, self._sky, side, trial=following)

    def _estimated(self, stars: list[Star]) -> tuple[Psf, dict[str, float]]:
        stars = stars_of_one_width(stars)[: self._search.max_stars]
        if len(stars) < FEWEST_STARS:
            raise PsfError(
                f"the PSF cannot be estimated: needs {FEWEST_STARS} isolated, unsaturated stars",
                where=self._search.frame_id,
                received=len(stars),
                remedy='Give `[psf]` with `file` or `fwhm = "0.9 arcsec"`.',
            )
        psf = Psf(stacked_stars(stars))
        return psf, {"stars used": float(len(stars)), "fwhm pixels": psf.fwhm_pixels}


def _is_isolated(
    peaks: NDArray[np.float64], x: float, y: float, *, height: float, reach: int
) -> bool:
    near = (np.abs(peaks[:, 0] - x) <= reach) & (np.abs(peaks[:, 1] - y) <= reach)
    return int(np.count_nonzero(near & (peaks[:, 2] > _NEIGHBOR_FRACTION * height))) == 1
