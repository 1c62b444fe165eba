"""Spergel profiles under a PSF, and how they change with each parameter; many at once.

The profile of Spergel (2010, ApJS 191, 58) is one line in Fourier space, and so are its
derivatives: a step of a fit is eight transforms, whatever the profile.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.psf.target import target_psf
from astroclean.core.psf.transform import HALVES, angular_frequencies, psf_transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "PARAMETERS",
    "images_with_derivatives",
    "sharp_images",
    "sharp_variances",
    "spergel_images",
]

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


def spergel_images(
    values: Floats, transform: NDArray[np.complexfloating], side: int, *, samples: int = 1
) -> NDArray[np.float32]:
    """Return images of profiles under a PSF, without sky.

    Parameters
    ----------
    values : (n, 8) float64
        Of `PARAMETERS`.
    transform : ([n,] m, m // 2 + 1) complex64
        Of the PSF, as of `astroclean.core.psf.transform.psf_transform`.
    side : int
        Of the stamps, in pixels.
    samples : int
        Along one pixel, as of the transform.
    """
    spectrum, _, _ = _spectra(values, transform, side, samples)
    return _sampled(spectrum, side, samples)


def _spectra(
    values: Floats, transform: NDArray[np.complexfloating], side: int, samples: int = 1
) -> tuple[NDArray[np.complex64], NDArray[np.float32], NDArray[np.float32]]:
    """Return spectra in the places of the stamps, squared frequencies, and their factors.

    The second is ``(1 + nu) / (1 + q)``, by which a change of q changes the logarithm.
    """
    ky, kx = angular_frequencies(transform.shape[-2], samples=samples)
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


def sharp_images(values: Floats, side: int) -> NDArray[np.float32]:
    """Return images of profiles at the target PSF, without sky.

    On half pixels: what a star is at the target PSF pixels alone do not hold to a per cent.

    Parameters
    ----------
    values, side
        As of `spergel_images`.
    """
    return spergel_images(values, _target(side), side, samples=HALVES)


@functools.lru_cache(maxsize=16)
def _target(side: int) -> NDArray[np.complex64]:
    return psf_transform(target_psf().fine[0], side)


def sharp_variances(values: Floats, covariance: Floats, side: int) -> NDArray[np.float32]:
    """Return how well the pixels of `sharp_images` are known, to first order.

    Parameters
    ----------
    values, side
        As of `spergel_images`.
    covariance : (n, 8, 8) float64
        Of the values; that of the sky does not count.

    Returns
    -------
    (n, side, side) float32
        Variances, 0 where they are not known.
    """
    slopes = images_with_derivatives(values, _target(side), side, samples=HALVES)[:, 1:-1]
    flat = slopes.reshape(*slopes.shape[:2], -1)
    known = np.nan_to_num(covariance[:, :-1, :-1]).astype(np.float32)
    variance = np.sum(flat * (known @ flat), axis=1).reshape(len(values), side, side)
    return np.asarray(np.maximum(variance, 0), dtype=np.float32)


def images_with_derivatives(
    values: Floats, transform: NDArray[np.complexfloating], side: int, *, samples: int = 1
) -> NDArray[np.float32]:
    """Return images of profiles and their derivatives.

    Parameters
    ----------
    values, transform, side, samples
        As of `spergel_images`.

    Returns
    -------
    (n, 9, s, s) float32
        Without sky; then the derivative by each of `PARAMETERS`.
    """
    spectrum, square, factor = _spectra(values, transform, side, samples)
    ky, kx = angular_frequencies(transform.shape[-2], samples=samples)
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
    images = _sampled(stack, side, samples)
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


def _sampled(spectra: NDArray[np.complex64], side: int, samples: int = 1) -> NDArray[np.float32]:
    from scipy.fft import irfft2  # noqa: PLC0415 - slow to import

    count, end = spectra.shape[-2], samples * side
    images = irfft2(spectra, s=(count, count))[..., :end:samples, :end:samples]
    return np.asarray(images * samples**2, dtype=np.float32)
