"""Images of light through the PSF on pixels, many at once: in Fourier space, on parts of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.psf.stamp import FINER

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HALVES", "angular_frequencies", "convolved", "psf_transform", "sampled_images"]

HALVES = 2
"""Samples along one pixel: half pixels hold what a PSF of 1.5 pixels lets pass."""
_ROOM = 1.5
"""Side of the transform over that of the stamp: light that leaves it must not come in again."""


def _count(side: int, samples: int, room: float) -> int:
    """Return the samples of the transform of stamps of a side."""
    from scipy.fft import next_fast_len  # noqa: PLC0415 - slow to import

    return int(next_fast_len(int(np.ceil(room * side)) * samples, real=True))


def psf_transform(
    fine: NDArray[np.float64], side: int, *, samples: int = HALVES, room: float = _ROOM
) -> NDArray[np.complex64]:
    """Return the Fourier transform of a PSF for stamps of a side.

    Parameters
    ----------
    fine : (FINER (ky - 1) + 1, FINER (kx - 1) + 1) float64
        As `astroclean.core.psf.psf.Psf.fine_at` gives it: integrated over the frame's pixels.
    side : int
        Of the stamps, in pixels.
    samples : int
        Along one pixel: 1, `HALVES` or `FINER`. Light that is sharper is folded over.
    room : float
        Side of the transform over that of the stamps.

    Returns
    -------
    (m, m // 2 + 1) complex64
        For a PSF in the middle of the first pixel; 1 at frequency 0.
    """
    from scipy.fft import rfft2  # noqa: PLC0415 - slow to import

    count, step = _count(side, samples, room), FINER // samples
    # The same samples whatever the side of the stamps: the middle is one of them.
    starts = [(length // 2) % step for length in fine.shape]
    sampled = fine[starts[0] :: step, starts[1] :: step]
    half = min(count // 2 - 1, *(length // 2 for length in sampled.shape))
    middle = [length // 2 for length in sampled.shape]
    part = sampled[middle[0] - half : middle[0] + half + 1, middle[1] - half : middle[1] + half + 1]
    image = np.zeros((count, count))
    image[: 2 * half + 1, : 2 * half + 1] = part / sampled.sum()
    image = np.roll(image, (-half, -half), axis=(0, 1))
    return np.asarray(rfft2(image), dtype=np.complex64)


def angular_frequencies(
    count: int, *, samples: int = HALVES
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the angular frequencies of a transform, radians a pixel.

    Parameters
    ----------
    count : int
        Samples along a side of the transformed image.
    samples : int
        Along one pixel.

    Returns
    -------
    (count, 1) and (1, count // 2 + 1) float32
        Along y and along x.
    """
    ky = (2 * np.pi * samples * np.fft.fftfreq(count)).astype(np.float32)
    kx = (2 * np.pi * samples * np.fft.rfftfreq(count)).astype(np.float32)
    return ky[:, np.newaxis], kx[np.newaxis]


def convolved(
    transform: NDArray[np.complex64],
    offsets: NDArray[np.floating],
    images: NDArray[np.floating],
    side: int,
    *,
    samples: int = HALVES,
) -> NDArray[np.float32]:
    """Return images of sources whose light before the PSF is given on parts of pixels.

    Parameters
    ----------
    transform : (m, m // 2 + 1) complex64
        As `psf_transform` gives it for the side.
    offsets : (n, 2) float
        (y, x) of each source from the middle of pixel ``side // 2``, in pixels.
    images : (n, k, k) float
        On those parts of pixels, k at most m; the source at ``k // 2``.
    side : int
        Of the stamps, in pixels.
    samples : int
        Along one pixel, as of the transform.

    Returns
    -------
    (n, side, side) float32
        Light within the stamps.
    """
    from scipy.fft import rfft2  # noqa: PLC0415 - slow to import

    count, given = transform.shape[0], images.shape[-1]
    room = np.zeros((len(images), count, count), dtype=np.float32)
    room[:, :given, :given] = images
    room = np.roll(room, (-(given // 2), -(given // 2)), axis=(1, 2))
    return sampled_images(transform * rfft2(room), offsets, side, samples=samples)


def sampled_images(
    spectra: NDArray[np.complexfloating],
    offsets: NDArray[np.floating],
    side: int,
    *,
    samples: int = HALVES,
) -> NDArray[np.float32]:
    """Return the images of spectra, moved into stamps and sampled at the middles of pixels.

    Parameters
    ----------
    spectra : (n, m, m // 2 + 1) complex64
        Of sources in the middle of the first pixel.
    offsets : (n, 2) float
        (y, x) of each source from the middle of pixel ``side // 2``, in pixels.
    side : int
        Of the stamps, in pixels.
    samples : int
        Along one pixel, as of the spectra.

    Returns
    -------
    (n, side, side) float32
        Light within the stamps.
    """
    from scipy.fft import irfft2  # noqa: PLC0415 - slow to import

    count = spectra.shape[-2]
    places = samples * (np.asarray(offsets, dtype=np.float64) + side // 2)
    ky = -2j * np.pi * np.fft.fftfreq(count)
    kx = -2j * np.pi * np.fft.rfftfreq(count)
    shift = (
        np.exp(places[:, 0, np.newaxis] * ky)[:, :, np.newaxis]
        * np.exp(places[:, 1, np.newaxis] * kx)[:, np.newaxis, :]
    ).astype(np.complex64)
    images = irfft2(spectra * shift, s=(count, count))
    # The PSF is integrated over pixels and of sum 1 on its samples.
    kept = images[:, : samples * side : samples, : samples * side : samples] * samples**2
    return np.asarray(kept, dtype=np.float32)
