"""The power spectrum of an image: how much structure it has at which scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["power_spectrum"]


def power_spectrum(image: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the azimuthal mean of the power of an image.

    ``P(k) = <|FFT(w (image - mean))|^2>`` over rings one cycle a frame wide, with a Hann window w,
    because the borders of a frame do not fit together.

    Parameters
    ----------
    image : (ny, nx)
        Finite. Not modified.

    Returns
    -------
    frequency : 1-D float64
        Cycles a pixel, above 0 up to 0.5.
    power : 1-D float64
        In the unit of the image squared.
    """
    ny, nx = image.shape
    values = np.array(image, dtype=np.float64)
    values -= values.mean()
    values *= np.hanning(ny + 2)[1:-1, None]
    values *= np.hanning(nx + 2)[1:-1]
    # The other half of the plane mirrors this one: half the time, and half the memory.
    wave = np.fft.rfft2(values)
    power = wave.real**2 + wave.imag**2
    side = min(ny, nx)
    radius = np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nx)[None, :])
    ring = np.rint(radius * side).astype(np.intp).ravel()
    twice = np.broadcast_to(_times_in_plane(nx), power.shape)
    pixels = np.bincount(ring, weights=twice.ravel())
    mean = np.bincount(ring, weights=(power * twice).ravel()) / np.maximum(pixels, 1)
    rings = np.arange(1, side // 2 + 1)
    return rings / side, mean[rings]


def _times_in_plane(nx: int) -> NDArray[np.float64]:
    """Return how often each column of `numpy.fft.rfft2` is in the whole plane."""
    times = np.full(nx // 2 + 1, 2.0)
    times[0] = 1
    if nx % 2 == 0:
        times[-1] = 1
    return times
