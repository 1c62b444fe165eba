"""Which sources are compact: as wide as the PSF, and bright enough to be told from the emission.

A stage that finds sources finds galaxies, knots of nebulae and bumps of noise too. To fill those
would change what is no compact source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from astropy.stats import gaussian_fwhm_to_sigma, mad_std

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean.core.psf.draw import PsfImage

__all__ = ["Compactness", "Limits", "compactness"]

_REACH = 2.0
"""Radius in FWHM within which a source is looked at."""
_LEAST_REACH = 3.0
"""Of that radius, pixels."""
_WIDTHS = (0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0, 4.0)
"""Times the PSF."""
_AS_TOLD = _WIDTHS.index(1.0)
_SURE = 25.0
"""Fall of chi squared from which a source is as wide as fits best, not as the PSF."""
_WIDE = 3.0
"""Radii in reaches, this and half of it, between which is the sky on which all stands."""
_PIXELS = 1.5
"""By less than this many pixels a source is not wider: close doubles of a narrow PSF are."""
_FEWEST = 12


class Compactness(NamedTuple):
    """What is known of sources, n of them; NaN where too little of one is seen."""

    size: NDArray[np.float64]
    """(n,): times the PSF, 1 unless another fits far better."""
    snr: NDArray[np.float64]
    """(n,): flux of the PSF over its error, of which structure around and grain are part."""
    contrast: NDArray[np.float64]
    """(n,): peak of the PSF over the level that it stands on, above the sky farther off; knots of a
    galaxy have less than 1, compact sources in front of emission more."""


def compactness(
    data: NDArray[Any],
    usable: NDArray[np.bool_],
    positions: NDArray[np.float64],
    psfs: Sequence[PsfImage],
    fwhm: float,
) -> Compactness:
    """Fit each source, on a plane of its own, with the PSF and with the PSF widened.

    Parameters
    ----------
    data : (ny, nx)
        The frame, any unit. Not modified.
    usable : (ny, nx) bool
        Pixels to believe.
    positions : (n, 2) float64
        x, y, pixels; each may be off by a pixel.
    psfs : sequence of PsfImage
        n of them.
    fwhm : float
        Pixels.

    Returns
    -------
    Compactness
        Of each source, of the pixels that are nearer to it than to another.
    """
    from scipy.spatial import cKDTree  # noqa: PLC0415 - costs a fifth of a second

    count = len(positions)
    found = np.full((3, count), np.nan)
    known = np.flatnonzero(np.isfinite(positions).all(axis=1))
    if not len(known):
        return Compactness(*found)
    tree = cKDTree(positions[known])
    reach = max(_REACH * fwhm, _LEAST_REACH)
    for member in known.tolist():
        x, y = positions[member]
        others = [positions[known[i]] for i in tree.query_ball_point((x, y), 4 * reach)]
        others = [place for place in others if tuple(place) != (x, y)]
        seen = _pixels(usable.shape, (x, y), (0.0, reach))
        ring = _pixels(usable.shape, (x, y), (reach, 2 * reach))
        chosen = usable[seen] & _own(seen, (x, y), others)
        if min(np.count_nonzero(chosen), np.count_nonzero(usable[ring])) < _FEWEST:
            continue
        sky = data[ring][usable[ring]].astype(np.float64)
        wide = _pixels(usable.shape, (x, y), (0.5 * _WIDE * reach, _WIDE * reach))
        level = float(np.median(data[wide][usable[wide]])) if usable[wide].any() else np.nan
        scatter = float(mad_std(sky))
        if scatter > 0:
            seen = seen[0][chosen], seen[1][chosen]
            values = data[seen].astype(np.float64)
            found[:, member] = _judged(values - level, scatter, seen, (x, y), psfs[member])
    found[1] /= _grain(data, usable, fwhm)
    return Compactness(*found)


def _grain(data: NDArray[Any], usable: NDArray[np.bool_], fwhm: float) -> float:
    """Return how much larger the noise of a flux is than if pixels were independent, 1 at least.

    Maps that were resampled or smoothed have bumps as wide as the PSF: to the fit of one each is a
    source. The scatter of the map behind a filter of that width tells; what is wider is taken off.
    """
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - heavy

    if not usable.any():
        return 1.0
    sigma = fwhm * gaussian_fwhm_to_sigma
    filled = np.where(usable, data, np.median(data[usable])).astype(np.float64)
    flat = filled - gaussian_filter(filled, 3 * sigma)
    scatter = mad_std(flat[usable])
    independent = scatter / (2 * np.sqrt(np.pi) * sigma)
    if not independent > 0:
        return 1.0
    return max(float(mad_std(gaussian_filter(flat, sigma)[usable]) / independent), 1.0)


def _pixels(
    shape: tuple[int, ...],
    center: tuple[float, float],
    radii: tuple[float, float],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of the pixels between two radii."""
    (x, y), (inner, outer) = center, radii
    rows = np.arange(max(int(np.ceil(y - outer)), 0), min(int(y + outer) + 1, shape[0]))
    columns = np.arange(max(int(np.ceil(x - outer)), 0), min(int(x + outer) + 1, shape[1]))
    away = np.hypot(rows[:, None] - y, columns - x)
    chosen = np.nonzero((away <= outer) & (away >= inner))
    return rows[chosen[0]], columns[chosen[1]]


def _own(
    seen: tuple[NDArray[np.intp], NDArray[np.intp]],
    center: tuple[float, float],
    others: list[NDArray[np.float64]],
) -> NDArray[np.bool_]:
    """Return which pixels are nearer to a source than to any other."""
    rows, columns = seen
    away = np.hypot(rows - center[1], columns - center[0])
    own = np.ones(len(rows), dtype=bool)
    for x, y in others:
        own &= away <= np.hypot(rows - y, columns - x)
    return own


def _judged(
    values: NDArray[np.float64],
    scatter: float,
    seen: tuple[NDArray[np.intp], NDArray[np.intp]],
    center: tuple[float, float],
    psf: PsfImage,
) -> tuple[float, float, float]:
    """Return size, S/N and contrast of a source."""
    dy = np.asarray(seen[0] - center[1], dtype=np.float64)
    dx = np.asarray(seen[1] - center[0], dtype=np.float64)
    plane = np.column_stack([np.ones(len(values)), dy, dx])
    costs, snr, contrast = [], np.nan, np.nan
    for width in _WIDTHS:
        image, slopes = psf.changed(width=width).moved(dy, dx)
        design = np.column_stack([image, *slopes, plane])
        solution = np.linalg.lstsq(design, values, rcond=None)[0]
        rest = values - design @ solution
        costs.append(float(rest @ rest) / scatter**2)
        if width == 1:
            flat = image - plane @ np.linalg.lstsq(plane, image, rcond=None)[0]
            snr = float(solution[0] * np.linalg.norm(flat) / scatter)
            # A level below the sky, or in its noise, is none.
            level = max(float(solution[3]), 0.1 * scatter)
            contrast = float(solution[0] * image.max()) / level
    best = int(np.argmin(costs))
    wider = costs[_AS_TOLD] - costs[best] > _SURE
    return (_WIDTHS[best] if wider else 1.0), snr, contrast


class Limits(NamedTuple):
    """What a source must be to be taken out."""

    size: float
    """Most, times the PSF."""
    snr: float
    """Least."""
    contrast: float
    """Least."""

    def widest(self, fwhm: float) -> float:
        """Return the most times that a source may be as wide as a PSF of so many pixels."""
        return max(self.size, 1 + _PIXELS / fwhm)

    def reasons(self, judged: Compactness, fwhm: float) -> NDArray[np.str_]:
        """Return why each source is left, (n,): ``resolved``, ``faint`` or nothing."""
        with np.errstate(invalid="ignore"):  # what cannot be judged is not left
            wide = (judged.size > self.widest(fwhm)) | (judged.contrast < self.contrast)
            faint = judged.snr < self.snr
        # A bump of noise has neither size nor contrast.
        resolved = wide & ~faint
        return np.where(resolved, "resolved", np.where(faint, "faint", ""))
