"""Images of elliptical sources through the PSF, many at once, and their shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.psf.transform import angular_frequencies, sampled_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["elliptical_models", "shape_matrix"]

# An exponential disk as six Gaussians (Hogg & Lang 2013, PASP 125, 719, table 1): share of the
# light, and variance in units of the half-light radius squared.
_SHARES = np.array([0.0023485, 0.0307995, 0.2233642, 1.179491, 4.3387375, 5.9982077])
_SHARES /= _SHARES.sum()
_VARIANCES = np.array([0.00120079, 0.00884526, 0.03914631, 0.13997682, 0.4609625, 1.50159566])


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
    ky, kx = angular_frequencies(count)
    matrix = np.asarray(matrices, dtype=np.float32)[..., np.newaxis, np.newaxis]
    square = matrix[:, 0] * ky**2 + matrix[:, 1] * kx**2 + 2 * matrix[:, 2] * (ky * kx)
    light = np.zeros_like(square)
    for share, variance in zip(_SHARES, _VARIANCES, strict=True):
        light += np.float32(share) * np.exp(np.float32(-0.5 * variance) * square)
    return sampled_images(transform * light, offsets, side)
