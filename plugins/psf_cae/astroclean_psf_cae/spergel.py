"""Spergel profiles under a PSF, fitted to many stamps at once.

The profile of Spergel (2010, ApJS 191, 58) is one line in Fourier space, and so are its
derivatives: a step of a fit is eight transforms, whatever the profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.psf.transform import angular_frequencies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["PARAMETERS", "SpergelFit", "SpergelPriors", "fit_spergel", "spergel_images"]

PARAMETERS = ("y", "x", "flux", "log_radius", "g1", "g2", "nu", "sky")
"""Place from the middle of pixel ``side // 2``, pixels; flux and sky in the unit of the data;
logarithm of the half-light radius before the PSF and before the shear, in pixels; reduced shear
along x and along the diagonal; index of the profile (0.5: exponential)."""
_Y, _X, _FLUX, _RADIUS, _G1, _G2, _NU, _SKY = range(len(PARAMETERS))
# Half-light radius over scale radius: logarithm as a polynomial of log(1 + nu), good to 5e-4.
_RADII = np.array(
    [
        -0.0009067173070536771,
        0.004070508056995045,
        -0.012155937268149987,
        0.0390915954670978,
        -0.11637647876459542,
        0.7543411767454016,
        0.22883853279569846,
    ]
)
_SLOPES = np.polyder(_RADII)
_LEAST_RADIUS, _MOST_RADIUS = 0.1, 24.0
_LEAST_NU, _MOST_NU = -0.8, 3.5
_MOST_SHEAR = 0.85
_FIRST_RADII = (0.15, 0.35, 0.7, 1.3, 2.4)
"""Half-light radii that are tried first, over the FWHM of the PSF."""
_FIRST_NU = 0.5
_AT_ONCE = 32
_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 0.03, 1e-4, 1e4


@dataclass(frozen=True)
class SpergelPriors:
    """Gaussian priors; what galaxies and frames of the training are like."""

    place: float = 0.8
    """Standard deviation of the place around its start, FWHM of the PSF."""
    radius: float = 0.6
    """Median half-light radius, FWHM of the PSF."""
    log_radius: float = 0.9
    shear: float = 0.28
    nu: tuple[float, float] = (0.3, 0.6)
    """Mean and standard deviation."""
    sky: float = 0.15
    """Standard deviation of what was left of the sky, noise of a pixel."""


@dataclass(frozen=True, eq=False)
class SpergelFit:
    """Profiles that fit stamps."""

    values: Floats
    """(n, 8) of `PARAMETERS`."""
    covariance: Floats
    """(n, 8, 8) of their errors, by the curvature at the best fit, priors included."""
    chi2: Floats
    """(n,) of the residual for each usable pixel."""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def flux(self) -> Floats:
        """(n,) in the unit of the data."""
        return np.asarray(self.values[:, _FLUX])

    @property
    def snr(self) -> Floats:
        """(n,) flux over its error."""
        return np.asarray(self.flux / np.sqrt(self.covariance[:, _FLUX, _FLUX]))

    @property
    def radius(self) -> Floats:
        """(n,) half-light radius before the PSF, pixels."""
        return np.asarray(np.exp(self.values[:, _RADIUS]))

    @classmethod
    def joined(cls, parts: Sequence[SpergelFit]) -> SpergelFit:
        """Return the fits of all parts, in their order."""
        if not parts:
            size = len(PARAMETERS)
            return cls(np.zeros((0, size)), np.zeros((0, size, size)), np.zeros(0))
        return cls(
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.covariance for part in parts]),
            np.concatenate([part.chi2 for part in parts]),
        )

    def taken(self, rows: NDArray[np.integer]) -> SpergelFit:
        """Return some of them."""
        return SpergelFit(self.values[rows], self.covariance[rows], self.chi2[rows])


def spergel_images(
    values: Floats, transform: NDArray[np.complexfloating], side: int
) -> NDArray[np.float32]:
    """Return images of profiles under a PSF, without sky.

    Parameters
    ----------
    values : (n, 8) float64
        Of `PARAMETERS`.
    transform : ([n,] m, m // 2 + 1) complex64
        Of the PSF, as of `astroclean.core.psf.transform.psf_transform`, one sample a pixel.
    side : int
        Of the stamps, in pixels.
    """
    spectrum, _, _ = _spectra(values, transform, side)
    return _sampled(spectrum, side)


def fit_spergel(
    images: NDArray[np.floating],
    weights: NDArray[np.floating],
    transform: NDArray[np.complexfloating],
    places: NDArray[np.floating],
    *,
    fwhm: NDArray[np.floating] | float,
    iterations: int = 8,
    priors: SpergelPriors | None = None,
    start: Floats | None = None,
) -> SpergelFit:
    """Fit one profile to each stamp by damped Gauss-Newton steps.

    Parameters
    ----------
    images : (n, s, s) float
        Sky subtracted, neighbors, too.
    weights : (n, s, s) float
        One over the variance of each pixel, 0 where it is not usable.
    transform : ([n,] m, m // 2 + 1) complex64
        Of the PSF at each stamp, or of all, for one sample a pixel.
    places : (n, 2) float
        (y, x) where the sources are thought to be, from the middle of pixel ``s // 2``.
    fwhm : (n,) float or float
        Of the PSF, pixels.
    iterations : int
        Steps.
    priors : SpergelPriors, optional
        Others than the usual ones.
    start : (n, 8) float64, optional
        Where to begin; by default the best of five round exponential profiles.

    Returns
    -------
    SpergelFit
        Of n profiles.
    """
    count = len(images)
    width = np.broadcast_to(np.asarray(fwhm, dtype=np.float64), (count,))
    parts = []
    for first in range(0, count, _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        fit = _Fit(
            np.asarray(images[part], np.float32),
            np.asarray(weights[part], np.float32),
            transform if transform.ndim == 2 else transform[part],  # noqa: PLR2004 - one for all
            _prior(places[part], width[part], weights[part], priors or SpergelPriors()),
        )
        begin = fit.first(width[part]) if start is None else np.array(start[part])
        parts.append(fit.iterated(begin, iterations))
    return SpergelFit.joined(parts)


def _prior(
    places: NDArray[np.floating],
    width: Floats,
    weights: NDArray[np.floating],
    priors: SpergelPriors,
) -> tuple[Floats, Floats]:
    """Return means and one over variances, (n, 8) each."""
    count = len(places)
    mean, precision = np.zeros((count, len(PARAMETERS))), np.zeros((count, len(PARAMETERS)))
    mean[:, :2] = places
    mean[:, _RADIUS] = np.log(priors.radius * width)
    mean[:, _NU] = priors.nu[0]
    precision[:, :2] = 1 / (priors.place * width[:, np.newaxis]) ** 2
    precision[:, _RADIUS] = 1 / priors.log_radius**2
    precision[:, [_G1, _G2]] = 1 / priors.shear**2
    precision[:, _NU] = 1 / priors.nu[1] ** 2
    usable = np.count_nonzero(weights, axis=(1, 2))
    usual = weights.sum(axis=(1, 2), dtype=np.float64) / np.maximum(usable, 1)
    precision[:, _SKY] = usual / priors.sky**2
    return mean, precision


@dataclass(frozen=True, eq=False)
class _Fit:
    """Stamps, and what is thought of their sources before a look."""

    images: NDArray[np.float32]
    weights: NDArray[np.float32]
    transform: NDArray[np.complexfloating]
    prior: tuple[Floats, Floats]

    @property
    def side(self) -> int:
        return int(self.images.shape[-1])

    def first(self, width: Floats) -> Floats:
        """Return the best of some round profiles at the places, each with its best flux."""
        best = np.array(self.prior[0])
        best[:, _NU] = _FIRST_NU
        least = np.full(len(best), np.inf)
        for factor in _FIRST_RADII:
            trial = np.array(best)
            trial[:, _FLUX] = 1.0
            trial[:, _RADIUS] = np.log(factor * width)
            model = spergel_images(trial, self.transform, self.side)
            weighted = model * self.weights
            power = np.maximum(_sum(weighted * model), 1e-30)
            flux = _sum(weighted * self.images) / power
            gain = -(flux**2) * power
            better = gain < least
            trial[:, _FLUX] = flux
            best[better], least[better] = trial[better], gain[better]
        return best

    def iterated(self, values: Floats, iterations: int) -> SpergelFit:
        values = _inside(values)
        damping = np.full(len(values), _DAMPING)
        score, chi2, curvature, slope = self._looked(values)
        diagonal = np.arange(len(PARAMETERS))
        for _ in range(iterations):
            damped = np.array(curvature)
            damped[:, diagonal, diagonal] *= 1 + damping[:, np.newaxis]
            trial = _inside(values + np.linalg.solve(damped, slope[..., np.newaxis])[..., 0])
            looked = self._looked(trial)
            better = looked[0] < score
            values = np.where(better[:, np.newaxis], trial, values)
            score, chi2 = (
                np.where(better, n, o) for n, o in zip(looked[:2], (score, chi2), strict=True)
            )
            curvature = np.where(better[:, np.newaxis, np.newaxis], looked[2], curvature)
            slope = np.where(better[:, np.newaxis], looked[3], slope)
            damping = np.clip(
                np.where(better, damping / 5, damping * 6), _LEAST_DAMPING, _MOST_DAMPING
            )
        usable = np.maximum(np.count_nonzero(self.weights, axis=(1, 2)), 1)
        return SpergelFit(values, np.linalg.inv(curvature), chi2 / usable)

    def _looked(self, values: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return score, chi2, curvature and slope at some values."""
        images = _with_derivatives(values, self.transform, self.side)
        residual = self.images - images[:, 0] - values[:, _SKY, np.newaxis, np.newaxis]
        derivatives = images[:, 1:].reshape(len(values), len(PARAMETERS), -1)
        weighted = derivatives * self.weights.reshape(len(values), 1, -1)
        curvature = (weighted @ derivatives.transpose(0, 2, 1)).astype(np.float64)
        slope = (weighted @ residual.reshape(len(values), -1, 1))[..., 0].astype(np.float64)
        chi2 = _sum(self.weights * residual**2)
        mean, precision = self.prior
        away = values - mean
        index = np.arange(len(PARAMETERS))
        # A flux that no pixel tells is 0.
        curvature[:, index, index] += precision + 1e-12
        return chi2 + np.sum(precision * away**2, axis=1), chi2, curvature, slope - precision * away


def _inside(values: Floats) -> Floats:
    """Return values that a profile can have."""
    kept = np.array(values)
    kept[:, _RADIUS] = np.clip(kept[:, _RADIUS], np.log(_LEAST_RADIUS), np.log(_MOST_RADIUS))
    kept[:, _NU] = np.clip(kept[:, _NU], _LEAST_NU, _MOST_NU)
    shear = np.hypot(kept[:, _G1], kept[:, _G2])
    kept[:, [_G1, _G2]] *= np.minimum(1, _MOST_SHEAR / np.maximum(shear, 1e-9))[:, np.newaxis]
    return kept


def _spectra(
    values: Floats, transform: NDArray[np.complexfloating], side: int
) -> tuple[NDArray[np.complex64], NDArray[np.float32], NDArray[np.float32]]:
    """Return spectra in the places of the stamps, squared frequencies, and their factors.

    The second is ``(1 + nu) / (1 + q)``, by which a change of q changes the logarithm.
    """
    ky, kx = angular_frequencies(transform.shape[-2], samples=1)
    yy, xx, xy = _matrix(values)
    square = (yy * ky**2 + xx * kx**2 + 2 * xy * (ky * kx)).astype(np.float32)
    power = (1 + values[:, _NU]).astype(np.float32)[:, np.newaxis, np.newaxis]
    light = np.exp(-power * np.log1p(square))
    places = values[:, [_Y, _X]] + side // 2
    shift = np.exp(-1j * places[:, 0, np.newaxis, np.newaxis] * ky) * np.exp(
        -1j * places[:, 1, np.newaxis, np.newaxis] * kx
    )
    flux = values[:, _FLUX, np.newaxis, np.newaxis].astype(np.float32)
    spectrum = (flux * light) * (transform * shift.astype(np.complex64))
    return spectrum.astype(np.complex64), square, power / (1 + square)


def _matrix(values: Floats) -> list[Floats]:
    """Return yy, xx and xy of the squared stretch, (n, 1, 1) each, pixels squared."""
    g1, g2 = values[:, _G1], values[:, _G2]
    size = g1**2 + g2**2
    scale = np.exp(values[:, _RADIUS] - np.polyval(_RADII, np.log1p(values[:, _NU])))
    norm = scale**2 / (1 - size)
    parts = (norm * (1 - 2 * g1 + size), norm * (1 + 2 * g1 + size), norm * 2 * g2)
    return [part[:, np.newaxis, np.newaxis] for part in parts]


def _with_derivatives(
    values: Floats, transform: NDArray[np.complexfloating], side: int
) -> NDArray[np.float32]:
    """Return (n, 9, s, s): images without sky, and derivatives by each of `PARAMETERS`."""
    spectrum, square, factor = _spectra(values, transform, side)
    ky, kx = angular_frequencies(transform.shape[-2], samples=1)
    nu = values[:, _NU, np.newaxis, np.newaxis]
    stretch = np.polyval(_SLOPES, np.log1p(nu)) / (1 + nu)
    by_g1, by_g2 = _shear_slopes(values, ky, kx)
    flux = values[:, _FLUX, np.newaxis, np.newaxis]
    unit = spectrum / np.where(flux == 0, 1e-30, flux).astype(np.float32)
    stack = np.stack(
        [
            spectrum,
            -1j * ky * spectrum,
            -1j * kx * spectrum,
            unit,
            -2 * factor * square * spectrum,
            -factor * by_g1 * spectrum,
            -factor * by_g2 * spectrum,
            (2 * stretch * factor * square - np.log1p(square)).astype(np.float32) * spectrum,
        ],
        axis=1,
    ).astype(np.complex64, copy=False)
    images = _sampled(stack, side)
    return np.concatenate([images, np.ones_like(images[:, :1])], axis=1)


def _shear_slopes(
    values: Floats, ky: NDArray[np.float32], kx: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the derivatives of the squared frequencies by both components of the shear."""
    g1, g2 = (values[:, row, np.newaxis, np.newaxis] for row in (_G1, _G2))
    rest = 1 - g1**2 - g2**2
    yy, xx, xy = _matrix(values)
    norm = (yy + xx) / (2 * (1 + g1**2 + g2**2))
    whole = yy * ky**2 + xx * kx**2 + 2 * xy * (ky * kx)
    plus, minus = kx**2 + ky**2, kx**2 - ky**2
    by_g1 = whole * (2 * g1 / rest) + norm * (2 * g1 * plus + 2 * minus)
    by_g2 = whole * (2 * g2 / rest) + norm * (2 * g2 * plus + 4 * ky * kx)
    return by_g1.astype(np.float32), by_g2.astype(np.float32)


def _sampled(spectra: NDArray[np.complex64], side: int) -> NDArray[np.float32]:
    from scipy.fft import irfft2  # noqa: PLC0415 - optional extra

    count = spectra.shape[-2]
    return np.asarray(irfft2(spectra, s=(count, count))[..., :side, :side], dtype=np.float32)


def _sum(images: NDArray[np.float32]) -> Floats:
    return np.asarray(images.sum(axis=(1, 2), dtype=np.float64))
