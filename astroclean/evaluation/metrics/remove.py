"""Measures of removal and filling: values in holes, flux, power spectrum, distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.spectrum import power_spectrum

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Spread",
    "bootstrap_iqr_error",
    "distribution_change",
    "flux_ratios",
    "hole_errors",
    "ks_distance",
    "local_scatter",
    "power_spectrum_change",
    "spread",
    "wasserstein_distance",
]


@dataclass(frozen=True)
class Spread:
    """Middle and width of a sample; NaN where it is empty."""

    mean: float
    median: float
    iqr: float
    """Upper minus lower quartile."""
    count: int


def spread(values: Any) -> Spread:
    """Return mean, median and interquartile range of the finite values."""
    sample = _finite(values)
    if not sample.size:
        return Spread(np.nan, np.nan, np.nan, 0)
    low, middle, high = np.percentile(sample, [25, 50, 75])
    return Spread(float(sample.mean()), float(middle), float(high - low), int(sample.size))


def hole_errors(
    filled: NDArray[Any], truth: NDArray[Any], *, sigma: Any, holes: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return ``|filled - truth| / sigma`` of each pixel in the holes.

    Parameters
    ----------
    filled, truth : (ny, nx)
        In one unit.
    sigma : float or (ny, nx)
        Local noise in the same unit.
    holes : (ny, nx) bool
        Pixels to judge.

    Returns
    -------
    1-D float64
        In local sigma; NaN where a value was left undefined.
    """
    scale = np.broadcast_to(np.asarray(sigma, dtype=np.float64), holes.shape)[holes]
    difference = filled[holes].astype(np.float64) - truth[holes].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors: NDArray[np.float64] = np.abs(difference) / scale
    return errors


def local_scatter(image: NDArray[Any], *, box: int = 32) -> NDArray[np.float64]:
    """Return the standard deviation of an image within a box around each pixel.

    Structure counts as much as noise: a hole filled with the mean of its surroundings is off by
    about one of it, however small the noise. Boxes are mirrored at the border.

    Parameters
    ----------
    image : (ny, nx)
        Without its sources; pixels that are not finite are left out.
    box : int
        Side of the box in pixels.

    Returns
    -------
    (ny, nx) float64
        Positive; 1 in an image without scatter, NaN without a finite pixel in the box.
    """
    from scipy.ndimage import uniform_filter  # noqa: PLC0415 - slow to import

    known = np.isfinite(image)
    # About the middle of the image, or the squares of a high level would drown the scatter.
    middle = float(np.median(image[known])) if known.any() else 0.0
    values = np.where(known, np.asarray(image, dtype=np.float64) - middle, 0.0)
    share = uniform_filter(known.astype(np.float64), box)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = uniform_filter(values, box) / share
        variance = uniform_filter(values**2, box) / share - mean**2
    scatter = np.sqrt(np.maximum(variance, 0))
    return np.where(scatter == 0, 1.0, scatter)


def flux_ratios(
    removed: NDArray[Any], light: NDArray[Any], *, labels: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return for each hole the share of the true light that was taken out.

    With h the pixels of a hole: ``sum_h removed / sum_h light``. Sources whose holes touch are
    judged together, for only their sum is defined by the pixels.

    Parameters
    ----------
    removed, light : (ny, nx)
        Taken out; true light of the sources; in one unit.
    labels : (ny, nx) int
        Number of the hole from 1, 0 outside.

    Returns
    -------
    1-D float64
        One a hole, in order of labels; NaN for holes without light.
    """
    count = int(labels.max(initial=0)) + 1
    inside = labels > 0
    true, taken = (
        np.bincount(labels[inside], weights=values[inside].astype(np.float64), minlength=count)[1:]
        for values in (light, removed)
    )
    return np.asarray(taken / np.where(true > 0, true, np.nan))


def bootstrap_iqr_error(values: Any, *, resamples: int = 200, seed: int = 0) -> float:
    """Return the standard error of the interquartile range of a sample.

    Parameters
    ----------
    values : array_like
        Those that are not finite are left out.
    resamples : int
        Samples of the same size drawn from it with replacement.
    seed : int
        The same seed gives the same error.

    Returns
    -------
    float
        Standard deviation of the range over the resamples; NaN for fewer than two values.
    """
    sample = _finite(values)
    if sample.size < 2:  # noqa: PLR2004 - one value has no spread
        return float("nan")
    rng = np.random.default_rng(seed)
    drawn = sample[rng.integers(sample.size, size=(resamples, sample.size))]
    low, high = np.percentile(drawn, [25, 75], axis=1)
    return float(np.std(high - low, ddof=1))


def power_spectrum_change(
    image: NDArray[Any], truth: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return frequencies (cycles a pixel) and ``(P(k) - P_true(k)) / P_true(k)`` at each.

    Frequencies without true power are left out.
    """
    frequency, found = power_spectrum(image)
    _, true = power_spectrum(truth)
    used = true > 0
    return frequency[used], (found - true)[used] / true[used]


def ks_distance(first: Any, second: Any) -> float:
    """Return the Kolmogorov-Smirnov distance of two samples: ``max |F1 - F2|``, 0 to 1."""
    from scipy.stats import ks_2samp  # noqa: PLC0415 - slow to import

    a, b = _finite(first), _finite(second)
    if not a.size or not b.size:
        return float("nan")
    # The chance of such a distance, which is not asked for, may be infinite or take long.
    with np.errstate(all="ignore"):
        return float(ks_2samp(a, b, method="asymp").statistic)


def wasserstein_distance(first: Any, second: Any) -> float:
    """Return the earth mover's distance of two samples, in their unit.

    The integral of ``|F1 - F2|``: how far values must be moved on average.
    """
    from scipy.stats import wasserstein_distance as of_samples  # noqa: PLC0415 - slow to import

    a, b = _finite(first), _finite(second)
    return float(of_samples(a, b)) if a.size and b.size else float("nan")


def _finite(values: Any) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=np.float64).ravel()
    return sample[np.isfinite(sample)]


def distribution_change(values: Any, truth: Any) -> dict[str, float]:
    """Return by how much the moments of a distribution differ from the true one.

    Parameters
    ----------
    values, truth : array_like
        Samples in one unit; those that are not finite are left out.

    Returns
    -------
    dict of str to float
        ``mean``, ``median``, ``std``, ``IQR``: value over truth minus 1. ``skew``: the difference
        of the skewnesses, which are often near 0. NaN where a sample is empty, or the truth 0.
    """
    found, true = _moments(values), _moments(truth)
    change = {name: found[name] / true[name] - 1 if true[name] else float("nan") for name in found}
    return {**change, "skew": found["skew"] - true["skew"]}


def _moments(values: Any) -> dict[str, float]:
    sample = _finite(values)
    if not sample.size:
        return dict.fromkeys(("mean", "median", "std", "skew", "IQR"), float("nan"))
    about, deviation, middle = sample - sample.mean(), float(sample.std()), spread(sample)
    skew = float(np.mean(about**3)) / deviation**3 if deviation else float("nan")
    return {
        "mean": middle.mean,
        "median": middle.median,
        "std": deviation,
        "skew": skew,
        "IQR": middle.iqr,
    }
