"""What the network sees of an image, and the image that its answer makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean_psf_cae.filters import STRENGTHS, filtered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean_psf_cae.filters import FilterBank

__all__ = ["ANSWERS", "CHANNELS", "Seen", "composed", "seen_of"]

CHANNELS = (
    "rounded",
    "matched",
    "fit",
    "sharp",
    *(f"rest{number}" for number in range(len(STRENGTHS))),
    "snr",
    "width",
    "valid",
)
"""Planes: arcsinh of the S/N under the round PSF; the matched image, the fit at the target PSF, the
image after the second Wiener filter, and what the fit leaves after each of them, all over the local
scale; logarithm of that scale over the noise; logarithm of the FWHM of the round PSF over 4 pixels;
1 where a pixel is usable."""
ANSWERS = ("keep", *(f"take{number}" for number in range(len(STRENGTHS))), "added", "log_error")
"""Logits of keeping the fit and of taking what each Wiener filter adds to it; light that is added,
over the local scale; logarithm of the error of the result over it."""
_FLOOR = 2.0
"""Least local scale, noise of the matched image."""
_MOST = 60.0
"""Planes are limited to it."""
_BRIGHT = {"rounded": 6.8, "snr": 5.25}
"""What these planes are limited to: the S/N of the brightest sources that the network knows. Of
brighter ones the others, which are relative, tell the shape."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Planes of images, and what is needed to make results of the answers to them."""

    planes: NDArray[np.float32]
    """(n, 11, s, s) of `CHANNELS`."""
    scale: NDArray[np.float32]
    """(n, s, s): local scale, unit of the image."""

    @property
    def fit(self) -> NDArray[np.float32]:
        """(n, s, s): fit at the target PSF over the scale."""
        return self.planes[:, CHANNELS.index("fit")]

    @property
    def rest(self) -> NDArray[np.float32]:
        """(n, 4, s, s): filtered residuals over the scale."""
        first = CHANNELS.index("rest0")
        return self.planes[:, first : first + len(STRENGTHS)]


def seen_of(
    images: NDArray[np.floating],
    valid: NDArray[np.bool_],
    blurred: NDArray[np.floating],
    sharp: NDArray[np.floating],
    bank: FilterBank,
    noise: NDArray[np.floating] | float = 1.0,
) -> Seen:
    """Return what the network sees.

    Parameters
    ----------
    images : (n, s, s) float
        Sky subtracted, any unit.
    valid : (n, s, s) bool
        Usable pixels; the values of others are not read.
    blurred, sharp : (n, s, s) float
        The fitted sources as the images show them, and at the target PSF; 0 where none was fitted.
    bank : FilterBank
        Of the PSF of the images.
    noise : (n,) float or float
        Of a pixel of sky, unit of the images.
    """
    sigma = np.broadcast_to(np.asarray(noise, np.float32), (len(images),))[
        :, np.newaxis, np.newaxis
    ]
    rest = _without_holes(np.where(valid, images - blurred, 0), valid, bank)
    whole = rest + blurred
    levels = bank.noise
    round_image, matched, second = filtered(
        whole, bank.rounding, bank.matched, bank.wiener[..., 1, :, :]
    )
    wiener = bank.wiener
    left = filtered(rest[:, np.newaxis], wiener if wiener.ndim > 3 else wiener[np.newaxis])[0]  # noqa: PLR2004 - one PSF for each
    (power,) = filtered(matched**2, bank.window)
    floor = _FLOOR * _plane(levels[..., 1]) * sigma
    local = np.sqrt(np.maximum(power, 0) + floor**2)
    scale = (local * _plane(bank.sharpening)).astype(np.float32)
    depth = np.broadcast_to(_plane(np.log(bank.width / 4)), images.shape)
    planes = [
        np.minimum(np.arcsinh(round_image / (_plane(levels[..., 0]) * sigma)), _BRIGHT["rounded"]),
        matched / scale,
        sharp / scale,
        second / scale,
        *(left[:, number] / scale for number in range(len(STRENGTHS))),
        np.minimum(np.log(local / floor), _BRIGHT["snr"]),
        depth,
        valid,
    ]
    return Seen(np.clip(np.stack(planes, axis=1), -_MOST, _MOST).astype(np.float32), scale)


def composed(
    answer: NDArray[np.floating], seen: Seen
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return images at the target PSF, and their errors.

    Parameters
    ----------
    answer : (n, 7, s, s) float
        Of `ANSWERS`.
    seen : Seen
        What was answered.

    Returns
    -------
    (n, s, s) float32 and (n, s, s) float32
        Unit of the images; errors are not calibrated.
    """
    count = 1 + len(STRENGTHS)
    logits = answer[:, :count] - answer[:, :count].max(axis=1, keepdims=True)
    chance = np.exp(logits)
    chance /= chance.sum(axis=1, keepdims=True)
    relative = seen.fit + np.sum(chance[:, 1:] * seen.rest, axis=1) + answer[:, count]
    error = np.exp(np.clip(answer[:, count + 1], -12, 6))
    return (
        np.asarray(relative * seen.scale, dtype=np.float32),
        np.asarray(error * seen.scale, dtype=np.float32),
    )


def _without_holes(
    rest: NDArray[np.floating], valid: NDArray[np.bool_], bank: FilterBank
) -> NDArray[np.float32]:
    """Return residuals, holes filled with the mean around them under the round PSF."""
    rest = np.asarray(rest, np.float32)
    if valid.all():
        return rest
    mean, weight = (
        filtered(rest, bank.window)[0],
        filtered(valid.astype(np.float32), bank.window)[0],
    )
    return np.where(valid, rest, mean / np.maximum(weight, 0.1)).astype(np.float32)


def _plane(numbers: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return one number for all, or one for each image, as a plane."""
    return np.asarray(numbers, np.float32)[..., np.newaxis, np.newaxis]
