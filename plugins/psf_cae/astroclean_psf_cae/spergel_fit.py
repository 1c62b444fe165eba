"""Spergel profiles fitted to many stamps at once, by damped Gauss-Newton steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean_psf_cae.spergel import PARAMETERS, images_with_derivatives, spergel_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["SpergelFit", "SpergelPriors", "fit_spergel"]

_FLUX, _RADIUS, _G1, _G2, _NU, _SKY = range(2, len(PARAMETERS))
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
    significance: Floats
    """(n,) S/N with which the profile would be found if all of it but its flux were known; below 0
    where the flux is. Flux over its error is less: place, size and shape are not known."""

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
            return cls(np.zeros((0, size)), np.zeros((0, size, size)), np.zeros(0), np.zeros(0))
        return cls(
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.covariance for part in parts]),
            np.concatenate([part.chi2 for part in parts]),
            np.concatenate([part.significance for part in parts]),
        )

    @classmethod
    def of_nothing(cls, count: int) -> SpergelFit:
        """Return profiles without flux, which nothing is known of."""
        size = len(PARAMETERS)
        unknown = np.full((count, size, size), np.nan)
        return cls(np.zeros((count, size)), unknown, np.full(count, np.nan), np.zeros(count))

    def held(self, places: NDArray[np.floating], reach: float) -> SpergelFit:
        """Return the same, of nothing where a profile went too far from where it was sought.

        Parameters
        ----------
        places : (n, 2) float
            Where they were sought, as of `fit_spergel`.
        reach : float
            Pixels that they may go.
        """
        away = np.hypot(*(self.values[:, :2] - places).T)
        lost = ~(away <= reach)
        if not lost.any():
            return self
        nothing = SpergelFit.of_nothing(len(self))
        nothing.values[:, :2] = places
        parts = zip(
            (nothing.values, nothing.covariance, nothing.chi2, nothing.significance),
            (self.values, self.covariance, self.chi2, self.significance),
            strict=True,
        )
        return SpergelFit(
            *(np.where(lost.reshape(-1, *[1] * (old.ndim - 1)), new, old) for new, old in parts)
        )

    def where(self, kept: NDArray[np.bool_]) -> SpergelFit:
        """Return the same, without flux where a source is not kept."""
        values = np.array(self.values)
        values[~kept, _FLUX] = 0
        return SpergelFit(values, self.covariance, self.chi2, self.significance)

    def taken(self, rows: NDArray[np.integer]) -> SpergelFit:
        """Return some of them."""
        return SpergelFit(
            self.values[rows], self.covariance[rows], self.chi2[rows], self.significance[rows]
        )


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
        light = spergel_images(values, self.transform, self.side)
        significance = np.sign(values[:, _FLUX]) * np.sqrt(_sum(self.weights * light**2))
        covariance = np.asarray(np.linalg.inv(curvature), np.float64)
        return SpergelFit(values, covariance, chi2 / usable, significance)

    def _looked(self, values: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return score, chi2, curvature and slope at some values."""
        images = images_with_derivatives(values, self.transform, self.side)
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


def _sum(images: NDArray[np.floating]) -> Floats:
    return np.asarray(images.sum(axis=(1, 2), dtype=np.float64))
