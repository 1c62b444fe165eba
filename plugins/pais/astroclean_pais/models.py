"""Images of sources through the PSF, many at once: in Fourier space, on half pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.psf.stamp import FINER

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HALVES", "convolved", "elliptical_models", "psf_transform", "shape_matrix"]

HALVES = 2
"""Samples along one pixel: half pixels hold what a PSF of 1.5 pixels lets pass."""
_ROOM = 1.5
"""Side of the transform over that of the stamp: light that leaves it must not come in again."""
# An exponential disk as six Gaussians (Hogg & Lang 2013, PASP 125, 719, table 1): share of the
# light, and variance in units of the half-light radius squared.
_SHARES = np.array([0.0023485, 0.0307995, 0.2233642, 1.179491, 4.3387375, 5.9982077])
_SHARES /= _SHARES.sum()
_VARIANCES = np.array([0.00120079, 0.00884526, 0.03914631, 0.13997682, 0.4609625, 1.50159566])


def _count(side: int) -> int:
    """Return the samples of the transform of stamps of a side."""
    from scipy.fft import next_fast_len  # noqa: PLC0415 - optional extra

    return int(next_fast_len(int(np.ceil(_ROOM * side)) * HALVES, real=True))


def psf_transform(fine: NDArray[np.float64], side: int) -> NDArray[np.complex64]:
    """Return the Fourier transform of a PSF for stamps of a side.

    Parameters
    ----------
    fine : (FINER (ky - 1) + 1, FINER (kx - 1) + 1) float64
        As `astroclean.core.psf.psf.Psf.fine_at` gives it: integrated over the frame's pixels.
    side : int
        Of the stamps, in pixels.

    Returns
    -------
    (m, m // 2 + 1) complex64
        For a PSF in the middle of the first pixel; 1 at frequency 0.
    """
    from scipy.fft import rfft2  # noqa: PLC0415 - optional extra

    count, step = _count(side), FINER // HALVES
    # The same samples whatever the side of the stamps: the middle is one of them.
    starts = [(length // 2) % step for length in fine.shape]
    sampled = fine[starts[0] :: step, starts[1] :: step]
    half = min(count // 2 - 1, *(length // 2 for length in sampled.shape))
    middle = [length // 2 for length in sampled.shape]
    part = sampled[middle[0] - half : middle[0] + half + 1, middle[1] - half : middle[1] + half + 1]
    room = np.zeros((count, count))
    room[: 2 * half + 1, : 2 * half + 1] = part / sampled.sum()
    room = np.roll(room, (-half, -half), axis=(0, 1))
    return np.asarray(rfft2(room), dtype=np.complex64)


def shape_matrix(
    radius: NDArray[np.floating], e1: NDArray[np.floating], e2: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return the matrices by which round light of radius 1 is stretched, squared.

    Parameters
    ----------
    radius : (n,) float
        Half-light radius in pixels.
    e1, e2 : (n,) float
        Ellipticity ``(1 - q) / (1 + q)`` along x and along the diagonal.

    Returns
    -------
    (n, 3) float64
        yy, xx and xy, pixels squared; of determinant radius to the fourth.
    """
    size = np.minimum(np.hypot(e1, e2), 0.9)
    scale = np.where(np.hypot(e1, e2) > 0, size / np.maximum(np.hypot(e1, e2), 1e-12), 0.0)
    g1, g2 = e1 * scale, e2 * scale
    # |(1 + g1, g2; g2, 1 - g1)|^2 / (1 - g^2)
    norm = radius**2 / (1 - size**2)
    xx = norm * ((1 + g1) ** 2 + g2**2)
    yy = norm * ((1 - g1) ** 2 + g2**2)
    return np.stack([yy, xx, norm * 2 * g2], axis=-1)


def elliptical_models(
    transform: NDArray[np.complex64],
    offsets: NDArray[np.floating],
    matrices: NDArray[np.floating],
    side: int,
) -> NDArray[np.float32]:
    """Return images of exponential disks of flux 1, stars among them (Hogg & Lang 2013).

    Parameters
    ----------
    transform : (m, m // 2 + 1) complex64
        As `psf_transform` gives it for the side.
    offsets : (n, 2) float
        (y, x) of each source from the middle of pixel ``side // 2``, in pixels.
    matrices : (n, 3) float
        As `shape_matrix` gives them; 0 for a star.
    side : int
        Of the stamps, in pixels.

    Returns
    -------
    (n, side, side) float32
        Light within the stamps.
    """
    count = transform.shape[0]
    ky = (2 * np.pi * HALVES * np.fft.fftfreq(count)).astype(np.float32)[:, np.newaxis]
    kx = (2 * np.pi * HALVES * np.fft.rfftfreq(count)).astype(np.float32)[np.newaxis]
    matrix = np.asarray(matrices, dtype=np.float32)[..., np.newaxis, np.newaxis]
    square = matrix[:, 0] * ky**2 + matrix[:, 1] * kx**2 + 2 * matrix[:, 2] * (ky * kx)
    light = np.zeros_like(square)
    for share, variance in zip(_SHARES, _VARIANCES, strict=True):
        light += np.float32(share) * np.exp(np.float32(-0.5 * variance) * square)
    return _sampled(transform * light, offsets, side)


def convolved(
    transform: NDArray[np.complex64],
    offsets: NDArray[np.floating],
    images: NDArray[np.floating],
    side: int,
) -> NDArray[np.float32]:
    """Return images of sources whose light before the PSF is given on half pixels.

    Parameters
    ----------
    transform : (m, m // 2 + 1) complex64
        As `psf_transform` gives it for the side.
    offsets : (n, 2) float
        (y, x) of each source from the middle of pixel ``side // 2``, in pixels.
    images : (n, k, k) float
        Half pixels, k at most m; the source at ``k // 2``.
    side : int
        Of the stamps, in pixels.

    Returns
    -------
    (n, side, side) float32
        Light within the stamps.
    """
    from scipy.fft import rfft2  # noqa: PLC0415 - optional extra

    count, given = transform.shape[0], images.shape[-1]
    room = np.zeros((len(images), count, count), dtype=np.float32)
    room[:, :given, :given] = images
    room = np.roll(room, (-(given // 2), -(given // 2)), axis=(1, 2))
    return _sampled(transform * rfft2(room), offsets, side)


def _sampled(
    spectra: NDArray[np.complex64], offsets: NDArray[np.floating], side: int
) -> NDArray[np.float32]:
    """Return spectra of sources at 0, moved into stamps and sampled at the middles of pixels."""
    from scipy.fft import irfft2  # noqa: PLC0415 - optional extra

    count = spectra.shape[-2]
    places = HALVES * (np.asarray(offsets, dtype=np.float64) + side // 2)
    ky = -2j * np.pi * np.fft.fftfreq(count)
    kx = -2j * np.pi * np.fft.rfftfreq(count)
    shift = (
        np.exp(places[:, 0, np.newaxis] * ky)[:, :, np.newaxis]
        * np.exp(places[:, 1, np.newaxis] * kx)[:, np.newaxis, :]
    ).astype(np.complex64)
    images = irfft2(spectra * shift, s=(count, count))
    # The PSF is integrated over pixels and of sum 1 on half pixels: four samples a pixel.
    kept = images[:, : HALVES * side : HALVES, : HALVES * side : HALVES] * HALVES**2
    return np.asarray(kept, dtype=np.float32)
