"""Linear filters of a PSF: to a round PSF exactly, matched, and Wiener at several strengths.

No filter leaves the ellipticity of the PSF in the signal: all of them act on the image that was
brought to a round Gaussian PSF. What is left of it is in the noise.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.psf.stamp import FINER, half_maximum_width
from astroclean.core.psf.target import target_psf
from astroclean.core.psf.transform import angular_frequencies, psf_transform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["STRENGTHS", "FilterBank", "filtered", "make_bank", "reblurring"]

STRENGTHS = (0.2, 0.02, 0.002, 0.0002)
"""Power of the noise over that of the light, of the Wiener filters: from faint to bright sources.
The noise of a filter's result follows from it and the PSF alone."""
_GUARD = 1e-3
"""Modulus of the transfer function below which frequencies are given up: the guard for its zeros.
The filter ``conj(P) / (|P|^2 + guard^2)`` never multiplies by more than half of its inverse."""
_MOST_GAIN = 1.6
"""By how much rounding may multiply any frequency; the width of the round PSF follows from it."""
_WIDTHS = np.geomspace(0.9, 2.5, 40)
_REFERENCE = 64
_SIGMA = 1 / np.sqrt(8 * np.log(2))


@dataclass(frozen=True, eq=False)
class FilterBank:
    """Filters of one PSF, or of several, for images of one size.

    Transfer functions are (..., m, m // 2 + 1) for images in arrays of m x m.
    """

    psf: NDArray[np.complex64]
    """Of the PSF itself."""
    target: NDArray[np.complex64]
    """Of the target PSF."""
    rounding: NDArray[np.complex64]
    """Brings an image to a round PSF."""
    matched: NDArray[np.complex64]
    """The same, convolved with the round PSF again."""
    wiener: NDArray[np.complex64]
    """(..., 4, m, m // 2 + 1): Wiener filters to the target PSF, of `STRENGTHS`."""
    window: NDArray[np.complex64]
    """The round PSF itself, which averages over what one source covers."""
    width: NDArray[np.float32]
    """(...,) FWHM of the round PSF, pixels."""
    noise: NDArray[np.float32]
    """(..., 6): standard deviation of white noise of 1 after ``rounding``, ``matched`` and the
    Wiener filters."""
    sharpening: NDArray[np.float32]
    """(...,): root of the height of a star under the target PSF over that after ``matched``."""

    @classmethod
    def stacked(cls, banks: Sequence[FilterBank]) -> FilterBank:
        """Return the filters of several PSFs, one for each image; all for one size."""
        if len(banks) == 1:
            return banks[0]
        names = [field.name for field in fields(cls)]
        return cls(*(np.stack([getattr(bank, name) for bank in banks]) for name in names))


def make_bank(fine: NDArray[np.float64], side: int, *, room: float = 1.5) -> FilterBank:
    """Return the filters of a PSF.

    Parameters
    ----------
    fine : (FINER (ky - 1) + 1, FINER (kx - 1) + 1) float64
        As `astroclean.core.psf.psf.Psf.fine_at` gives it.
    side : int
        Of the images, in pixels.
    room : float
        Side of the transform over that of the images.
    """
    psf = psf_transform(fine, side, samples=1, room=room)
    count = psf.shape[0]
    ky, kx = angular_frequencies(count, samples=1)
    square = ky**2 + kx**2
    target = psf_transform(target_psf().fine[0], side, samples=1, room=room)
    power = np.abs(psf) ** 2
    inverse = np.conj(psf) / (power + _GUARD**2)
    width = _round_width(fine)
    round_psf = np.exp(-0.5 * square * (width * _SIGMA) ** 2)
    rounding = inverse * round_psf
    matched = rounding * round_psf
    strengths = np.array(STRENGTHS, np.float32)[:, np.newaxis, np.newaxis]
    wiener = rounding * target * round_psf / (round_psf**2 + strengths)
    linear = np.concatenate([rounding[np.newaxis], matched[np.newaxis], wiener])
    heights = _sum(np.abs(target)) / _sum(np.abs(round_psf) ** 2)
    return FilterBank(
        psf,
        target,
        rounding.astype(np.complex64),
        matched.astype(np.complex64),
        wiener.astype(np.complex64),
        round_psf.astype(np.complex64),
        np.asarray(width, np.float32),
        np.sqrt(_sum(np.abs(linear) ** 2)).astype(np.float32),
        np.sqrt(heights).astype(np.float32),
    )


def reblurring(bank: FilterBank) -> NDArray[np.complex64]:
    """Return the transfer function that takes the target PSF to that of the image."""
    power = np.abs(bank.target) ** 2
    return np.asarray(bank.psf * np.conj(bank.target) / (power + _GUARD**2), dtype=np.complex64)


def filtered(
    images: NDArray[np.floating], *transfers: NDArray[np.complex64]
) -> list[NDArray[np.float32]]:
    """Return images after filters; beyond their borders there is nothing.

    Parameters
    ----------
    images : (..., s, s) float
        Sky subtracted.
    *transfers : (..., m, m // 2 + 1) complex64
        That broadcast against the images.

    Returns
    -------
    list of (..., s, s) float32
        One for each transfer function.
    """
    from scipy.fft import irfft2, rfft2  # noqa: PLC0415 - slow to import

    count, (ny, nx) = transfers[0].shape[-2], images.shape[-2:]
    spectra = rfft2(np.asarray(images, dtype=np.float32), s=(count, count))
    return [irfft2(spectra * one, s=(count, count))[..., :ny, :nx] for one in transfers]


def _round_width(fine: NDArray[np.float64]) -> float:
    """Return the width of the narrowest Gaussian that no frequency is multiplied up too much for.

    It is found on one grid, so that it does not depend on the size of the images.
    """
    modulus = np.abs(psf_transform(fine, _REFERENCE, samples=1))
    ky, kx = angular_frequencies(modulus.shape[0], samples=1)
    seen = np.maximum(modulus, _GUARD)
    fwhm = half_maximum_width(fine[::FINER, ::FINER])
    square = ky**2 + kx**2

    def is_wide(number: int) -> bool:
        gauss = np.exp(-0.5 * square * (fwhm * _WIDTHS[number] * _SIGMA) ** 2)
        return bool((gauss / seen).max() <= _MOST_GAIN)

    # The wider the Gaussian, the less is multiplied up.
    number = bisect.bisect_left(range(len(_WIDTHS) - 1), True, key=is_wide)
    return float(fwhm * _WIDTHS[number])


def _sum(power: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the mean over all frequencies of a real image's half-plane."""
    count = power.shape[-2]
    weights = np.full(power.shape[-1], 2.0)
    weights[0] = 1.0
    if count % 2 == 0:
        weights[-1] = 1.0
    return np.asarray((power * weights).sum(axis=(-2, -1)) / count**2)
