"""What the networks see of a frame: data over noise, and what the PSF and the neighbors say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CHANNELS", "REACH", "features"]

CHANNELS = ("light", "bright", "matched", "contrast", "valid", "fwhm")
"""Names of the planes: arcsinh of the data over the noise, and of a tenth of it; arcsinh of the
S/N of a matched filter; deviation from the mean of 9 x 9 pixels over their scatter; 1 where a pixel
is usable; logarithm of the FWHM over 3 pixels."""
_NEAR = 9
_GAIN = np.float32(0.1)
_MOST = 8.0
"""The contrast is limited to it."""
_TRUNCATE = 3.0
REACH = 24
"""Pixels around one that its features depend on, for PSFs of up to 14 pixels."""


def features(
    light: NDArray[np.floating], usable: NDArray[np.bool_], fwhm: float
) -> NDArray[np.float32]:
    """Return what the finder sees.

    Parameters
    ----------
    light : (ny, nx) float
        Data, sky subtracted, over the noise of the sky.
    usable : (ny, nx) bool
        Pixels that may be read.
    fwhm : float
        Of the PSF, pixels.

    Returns
    -------
    (6, ny, nx) float32
        See `CHANNELS`.
    """
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - slow to import

    seen = np.where(usable, light, 0).astype(np.float32)
    valid = usable.astype(np.float32)
    sigma = fwhm / np.sqrt(8 * np.log(2))
    blurred = gaussian_filter(seen, sigma, truncate=_TRUNCATE, mode="constant")
    # Noise of the weighted sum of the pixels that are there: weights squared are a narrower filter.
    weight = gaussian_filter(valid, sigma / np.sqrt(2), truncate=_TRUNCATE * 1.5, mode="constant")
    spread = np.sqrt(np.maximum(weight, 0.05) / (4 * np.pi * sigma**2))
    planes = [
        np.arcsinh(seen),
        np.arcsinh(_GAIN * seen),
        np.arcsinh(blurred / spread),
        _contrast(seen, valid),
        valid,
        np.full_like(seen, np.log(fwhm / 3)),
    ]
    return np.stack(planes).astype(np.float32)


def _contrast(seen: NDArray[np.float32], valid: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how many local standard deviations pixels lie above the mean around them."""
    count = np.maximum(_sum_near(valid), 1)
    mean = _sum_near(seen) / count
    variance = _sum_near((seen - mean) ** 2 * valid) / count
    contrast = np.clip((seen - mean) / np.sqrt(variance + 0.25), -_MOST, _MOST) * valid
    return np.asarray(contrast, dtype=np.float32)


def _sum_near(image: NDArray[np.floating]) -> NDArray[np.floating]:
    # Not scipy's uniform_filter: its running sums depend on where a chunk begins.
    from scipy.ndimage import correlate1d  # noqa: PLC0415 - slow to import

    ones = np.ones(_NEAR)
    return np.asarray(
        correlate1d(
            correlate1d(image, ones, axis=0, mode="constant"), ones, axis=1, mode="constant"
        )
    )
