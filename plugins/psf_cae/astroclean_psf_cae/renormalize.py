"""The brightness of a deconvolved image, from the data alone; and what is wrong with it on average.

A network tells the shape of a source well and its flux badly, for its inputs are scaled. So the
flux is fitted afterwards: equation 2 of Sreejith et al. (2023, arXiv:2310.19605), here with the
noise of each pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.errors import AstrocleanError
from astroclean.inference.cards.calibration import FluxCorrection

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fitted_flux_correction", "recovered_snr", "renormalization"]

_AXES = (-2, -1)
_ORDER = 2
"""Of the polynomial in the logarithm of the S/N: the paper has a quadratic function."""
_BINS = 24
_LEAST_PER_BIN = 5
_CLIP = 4.0
"""Standard deviations beyond which a flux is that of something else than its source."""


def renormalization(
    blurred: NDArray[np.floating],
    data: NDArray[np.floating],
    variance: NDArray[np.floating] | None = None,
    usable: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Return the factor that makes a model as bright as the data, of the greatest likelihood.

    ``a = sum(w o d) / sum(w o^2)`` with the model o, the data d and w one over the variance, 0
    where a pixel is not used. It minimizes ``sum(w (d - a o)^2)``. Its standard deviation is
    ``sum(w o^2) ** -0.5``.

    Parameters
    ----------
    blurred : (..., ny, nx) float
        The deconvolved image convolved to the PSF of the data; in any unit.
    data : (..., ny, nx) float
        What was observed, without sky.
    variance : (..., ny, nx) float, optional
        Of the noise of the data, in its unit squared; none: of all pixels the same. Pixels whose
        variance is not finite and above 0 are left out.
    usable : (..., ny, nx) bool, optional
        Pixels to be believed; none: all. Those that are not finite in either image never are.

    Returns
    -------
    (...) float64
        One factor for each image, 0-d for a single one. NaN where nothing of the model lies on
        usable pixels: the data do not tell it. It may be negative, as noise is.
    """
    cross, square = _sums(blurred, data, variance, usable)
    known = square > 0
    return np.where(known, cross / np.where(known, square, 1.0), np.nan)


def recovered_snr(
    blurred: NDArray[np.floating],
    data: NDArray[np.floating],
    variance: NDArray[np.floating],
    usable: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Return the factor of `renormalization` over its standard deviation.

    It is what a `FluxCorrection` goes by: of a real source the true S/N is not known.

    Parameters
    ----------
    blurred, data, variance, usable
        As of `renormalization`; the variance must be known.

    Returns
    -------
    (...) float64
        ``sum(w o d) / sum(w o^2) ** 0.5``; NaN as there.
    """
    cross, square = _sums(blurred, data, variance, usable)
    known = square > 0
    return np.where(known, cross / np.sqrt(np.where(known, square, 1.0)), np.nan)


def _sums(
    blurred: Any, data: Any, variance: Any, usable: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weighted sums of model times data, and of model times model."""
    model, seen = (np.asarray(image, dtype=np.float64) for image in (blurred, data))
    if model.shape[-2:] != seen.shape[-2:]:
        raise AstrocleanError(
            f"model and data must lie on the same pixels, {seen.shape[-2:]}",
            where="renormalization",
            received=model.shape[-2:],
        )
    used = np.isfinite(model) & np.isfinite(seen)
    if usable is not None:
        used &= np.asarray(usable, dtype=bool)
    weight = used.astype(np.float64)
    if variance is not None:
        spread = np.asarray(variance, dtype=np.float64)
        known = np.isfinite(spread) & (spread > 0)
        weight = np.where(known, weight / np.where(known, spread, 1.0), 0.0)
        used = used & known
    model, seen = np.where(used, model, 0.0), np.where(used, seen, 0.0)
    return np.sum(weight * model * seen, axis=_AXES), np.sum(weight * model**2, axis=_AXES)


def fitted_flux_correction(
    snr: NDArray[np.floating], ratio: NDArray[np.floating]
) -> FluxCorrection:
    """Fit how many times too large recovered fluxes are, by their recovered S/N.

    A quadratic function of the decimal logarithm of the S/N through the means of bins of equally
    many sources, each with its error as weight, so that what is corrected is the mean and not the
    median; ratios beyond four standard deviations of their bin are left out.

    Parameters
    ----------
    snr : (n,) float
        Recovered, as `recovered_snr` gives it. Sorting by the true one would mix up cause and
        effect: sources that noise has made bright would be missing.
    ratio : (n,) float
        Recovered over true flux of sources of a calibration, whose seeds no training saw.

    Returns
    -------
    astroclean.inference.cards.calibration.FluxCorrection
        For the table ``calibration.fluxes`` of a card. Its ``factor`` stays, beyond the S/N that
        were measured, at that of the nearest: it never extrapolates.

    Raises
    ------
    AstrocleanError
        Fewer than 15 sources with an S/N above 0 and a finite ratio, or all of the same S/N.
    """
    level, value = (np.asarray(part, dtype=np.float64).ravel() for part in (snr, ratio))
    used = np.isfinite(level) & np.isfinite(value) & (level > 0)
    order = np.argsort(level[used], kind="stable")
    level, value = np.log10(level[used][order]), value[used][order]
    bins = min(_BINS, len(level) // _LEAST_PER_BIN)
    if bins <= _ORDER or not np.ptp(level) > 0:
        raise AstrocleanError(
            f"a flux correction needs {(_ORDER + 1) * _LEAST_PER_BIN} sources of several S/N",
            where="flux correction",
            received=f"{len(level)} usable of {used.size}",
            remedy="Calibrate with more sources.",
        )
    parts = np.array_split(np.arange(len(level)), bins)
    means = np.array([_mean_and_error(value[part]) for part in parts])
    middles = np.array([level[part].mean() for part in parts])
    # A bin of equal ratios has no error of its own.
    errors = np.maximum(means[:, 1], max(float(np.median(means[:, 1])), 1e-9) / 10)
    fit = np.polynomial.polynomial.polyfit(middles, means[:, 0], _ORDER, w=1 / errors)
    low, high = 10 ** middles[[0, -1]]
    return FluxCorrection(coefficients=tuple(map(float, fit)), snr=(float(low), float(high)))


def _mean_and_error(values: NDArray[np.float64]) -> tuple[float, float]:
    from astropy.stats import sigma_clip  # noqa: PLC0415 - half a second to import

    kept = sigma_clip(values, sigma=_CLIP, stdfunc="mad_std", masked=False)
    # Where more than half are equal nothing else would be left.
    kept = values if len(kept) < _LEAST_PER_BIN else kept
    return float(np.mean(kept)), float(np.std(kept) / np.sqrt(len(kept)))
