"""Measures of sharpened images: PSNR, SSIM, moments, and what the PSF leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Shape",
    "paired_leak",
    "psf_leak",
    "psnr",
    "shape_of",
    "shape_slope",
    "ssim",
]

_SMALLEST_SIDE = 7
_FEWEST_SHAPES = 3
_MOST_STEPS = 50


@dataclass(frozen=True)
class Shape:
    """Second moments of an image."""

    size: float
    """``sqrt(trace / 2)``: standard deviation of a round Gaussian of these moments, pixels."""
    e1: float
    """``(Ixx - Iyy) / (Ixx + Iyy)``."""
    e2: float
    """``2 Ixy / (Ixx + Iyy)``."""

    @property
    def ellipticity(self) -> complex:
        """``e1 + i e2``."""
        return complex(self.e1, self.e2)


def psnr(image: NDArray[Any], truth: NDArray[Any], *, peak: float | None = None) -> float:
    """Return the peak signal to noise ratio, ``10 log10(peak^2 / mean (image - truth)^2)``.

    Parameters
    ----------
    image, truth : (ny, nx)
        In one unit; pixels that are not finite in either are left out.
    peak : float, optional
        By default the range of the truth, highest minus lowest, so that an offset of both changes
        nothing.

    Returns
    -------
    float
        dB; infinite for equal images.
    """
    used = np.isfinite(image) & np.isfinite(truth)
    a, b = np.asarray(image, np.float64)[used], np.asarray(truth, np.float64)[used]
    if not a.size:
        return float("nan")
    height = float(np.ptp(b)) if peak is None else peak
    error = float(np.mean((a - b) ** 2))
    if error == 0:
        return float("inf")
    return float(10 * np.log10(height**2 / error)) if height > 0 else float("nan")


def ssim(image: NDArray[Any], truth: NDArray[Any], *, peak: float | None = None) -> float:
    """Return the structural similarity (Wang et al. 2004, IEEE TIP 13, 600) of scikit-image.

    Gaussian window of 1.5 pixels and population moments, as in that paper.

    Parameters
    ----------
    image, truth : (ny, nx)
        In one unit; pixels that are not finite in either are taken from the truth.
    peak : float, optional
        As for :func:`psnr`.

    Returns
    -------
    float
        At most 1; NaN for images smaller than the window of 7 pixels, or without range.
    """
    from skimage.metrics import structural_similarity  # noqa: PLC0415 - heavy

    height = float(np.nanmax(truth) - np.nanmin(truth)) if peak is None else peak
    if min(truth.shape) < _SMALLEST_SIDE or not height > 0:
        return float("nan")
    b = np.nan_to_num(np.asarray(truth, dtype=np.float64))
    a = np.where(np.isfinite(image), image, b).astype(np.float64)
    value = structural_similarity(
        a,
        b,
        data_range=height,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        win_size=_SMALLEST_SIDE,
    )
    return float(value)


def shape_of(image: NDArray[Any], *, center: tuple[float, float], radius: float) -> Shape:
    """Return second moments under a round Gaussian weight, freed of the weight.

    ``I_ij = sum(w f (x_i - c_i)(x_j - c_j)) / sum(w f)`` with w of standard deviation ``radius``
    and c moved to the weighted centroid. Moments add inversely under multiplication of Gaussians,
    so ``I = (I_w^-1 - radius^-2)^-1``: exact for a Gaussian, close for others (Kaiser, Squires &
    Broadhurst 1995, ApJ 449, 460, for weighted moments).

    Parameters
    ----------
    image : (ny, nx)
        Background subtracted; pixels that are not finite count as 0.
    center : (x, y)
        Where to begin, in pixels.
    radius : float
        Standard deviation of the weight in pixels; about that of the source or more.

    Returns
    -------
    Shape
        NaN where the moments are those of no source.
    """
    values = np.where(np.isfinite(image), image, 0).astype(np.float64)
    yy, xx = np.indices(values.shape, dtype=np.float64)
    x, y = center
    lost = Shape(np.nan, np.nan, np.nan)
    for _ in range(_MOST_STEPS):
        weighted = values * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * radius**2))
        total = float(weighted.sum())
        if total <= 0:
            return lost
        step_x = float(np.sum(weighted * (xx - x))) / total
        step_y = float(np.sum(weighted * (yy - y))) / total
        # The weight holds the centroid back, so one step is not enough; each is at least half.
        x, y = x + step_x, y + step_y
        if np.hypot(x - center[0], y - center[1]) > radius:
            return lost
        if np.hypot(step_x, step_y) < 1e-6:  # noqa: PLR2004 - pixels
            break
    return _freed(_moments(weighted, xx - x, yy - y), radius) or lost


def _moments(weighted: NDArray[np.float64], dx: Any, dy: Any) -> NDArray[np.float64]:
    total = weighted.sum()
    xx, yy, xy = (
        float(np.sum(weighted * a * b) / total) for a, b in ((dx, dx), (dy, dy), (dx, dy))
    )
    return np.array([[xx, xy], [xy, yy]])


def _freed(moments: NDArray[np.float64], radius: float) -> Shape | None:
    """Take the weight out; None where what is left is no ellipse."""
    if np.linalg.det(moments) <= 0 or np.trace(moments) <= 0:
        return None
    precision = np.linalg.inv(moments) - np.eye(2) / radius**2
    if np.linalg.det(precision) <= 0 or np.trace(precision) <= 0:
        return None
    free = np.linalg.inv(precision)
    trace = free[0, 0] + free[1, 1]
    return Shape(
        float(np.sqrt(trace / 2)),
        float((free[0, 0] - free[1, 1]) / trace),
        float(2 * free[0, 1] / trace),
    )


def psf_leak(errors: Any, psf_ellipticities: Any) -> float:
    """Return how much of the PSF's ellipticity is left in the sources.

    The slope alpha of ``e_measured - e_true = alpha e_psf + c`` (Jarvis et al. 2016, MNRAS 460,
    2245): 0 where the PSF was fully taken out. Of single sources the scatter of their shapes hides
    a percent; :func:`paired_leak` has none of it.

    Parameters
    ----------
    errors, psf_ellipticities : 1-D complex array_like
        ``e1 + i e2`` of each source and of the PSF at it; NaN are left out.

    Returns
    -------
    float
        NaN with fewer than three sources, or where the PSF has the same shape everywhere.
    """
    return shape_slope(errors, psf_ellipticities)


def shape_slope(shapes: Any, against: Any) -> float:
    """Return the slope of ellipticities on others, by least squares over both components.

    On the true ellipticities it is 1 where shapes are kept, less where they are shrunk.

    Parameters
    ----------
    shapes, against : 1-D complex array_like
        ``e1 + i e2``; NaN in either are left out.

    Returns
    -------
    float
        NaN with fewer than three of them, or where ``against`` is one and the same.
    """
    e, p = (np.asarray(v, dtype=np.complex128).ravel() for v in (shapes, against))
    used = np.isfinite(e) & np.isfinite(p)
    e, p = e[used], p[used]
    if e.size < _FEWEST_SHAPES:
        return float("nan")
    return _through_zero(e - e.mean(), p - p.mean())


def paired_leak(shapes: Any, psf_ellipticities: Any, pairs: Any) -> float:
    """Return how much of the PSF's ellipticity is left, from pairs that differ in it alone.

    Within a pair galaxy and noise are the same, so that ``e_a - e_b = alpha (p_a - p_b)`` without
    the scatter of either.

    Parameters
    ----------
    shapes, psf_ellipticities : 1-D complex array_like
        ``e1 + i e2`` of each source as measured, and of the PSF at it.
    pairs : 1-D array_like
        Number of the pair of each; NaN for those without. Pairs that are not two, or of which a
        shape is NaN, are left out.

    Returns
    -------
    float
        NaN with fewer than three pairs, or where none has PSFs that differ.
    """
    e, p = (np.asarray(v, dtype=np.complex128).ravel() for v in (shapes, psf_ellipticities))
    number = np.asarray(pairs, dtype=np.float64).ravel()
    used = np.flatnonzero(np.isfinite(e) & np.isfinite(p) & np.isfinite(number))
    used = used[np.argsort(number[used], kind="stable")]
    _, first, count = np.unique(number[used], return_index=True, return_counts=True)
    begin = first[count == 2]  # noqa: PLR2004 - two make a pair
    if begin.size < _FEWEST_SHAPES:
        return float("nan")
    a, b = used[begin], used[begin + 1]
    return _through_zero(e[a] - e[b], p[a] - p[b])


def _through_zero(e: NDArray[np.complex128], p: NDArray[np.complex128]) -> float:
    power = float(np.sum(np.abs(p) ** 2))
    if power < 1e-12 * e.size:  # rounding alone
        return float("nan")
    return float(np.sum((np.conj(p) * e).real) / power)
