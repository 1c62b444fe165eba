"""`wiener`: linear deconvolution with the least expected error, an adapter over scikit-image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from astroclean.core.image.noise import typical_noise
from astroclean.core.image.uncertainty import deviation_of
from astroclean.core.psf.psf import Psf
from astroclean.core.psf.sharpness import tell_of_sharpness
from astroclean.core.stage.kinds.deconvolve import Deconvolver
from astroclean.core.stage.options import StageOptions
from astroclean.core.stage.results import Deconvolution
from astroclean_classical.filling import nearest_filled
from astroclean_classical.restore.restoration import (
    central_stamp,
    holes_filled,
    sky_statistics,
    unusable_pixels,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["Wiener", "WienerOptions"]

# Of the strength of the regularization: from no damping at float32 to a blur of whole frames.
_LEAST, _MOST = 1e-8, 1e4
_TRIALS = 97


class WienerOptions(StageOptions):
    """Settings of :class:`Wiener`."""

    balance: Literal["auto"] | Annotated[float, Field(gt=0, le=1e6)] = "auto"
    """Strength of the regularization (no unit), the ``balance`` of scikit-image with a penalty
    on gradients: larger is smoother. ``auto``: as noise and structure of the frame ask for."""
    max_noise_gain: Annotated[float, Field(ge=1, le=1000)] = 4.0
    """``auto`` lets the noise of a pixel grow by at most this factor: one bright star would have
    the whole frame sharpened without regard to the noise."""
    padding: Annotated[int, Field(ge=1, le=16)] = 2
    """By how many sides of the PSF's stamp the frame is continued over its borders."""


@dataclass(frozen=True, eq=False)
class _Filter:
    """A filter for images of one shape."""

    stamp: NDArray[np.float64]
    regularization: NDArray[np.complex128]
    """Transfer function of the penalty, half of the frequencies."""
    balance: float

    def applied(self, image: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the filtered image; its mean is unchanged, for it has no gradient."""
        from skimage.restoration import wiener  # noqa: PLC0415 - heavy

        filtered: NDArray[np.float64] = wiener(
            image, self.stamp, self.balance, reg=self.regularization, clip=False
        )
        return filtered

    def response(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what becomes of a small image, on the whole grid, about the pixel (0, 0)."""
        rows, columns = self.shape
        ky, kx = point.shape
        image = np.zeros((rows, columns))
        image[:ky, :kx] = point
        return self.applied(np.roll(image, (-(ky // 2), -(kx // 2)), axis=(0, 1)))

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of the images: of a real transform the last axis is half."""
        rows, columns = self.regularization.shape
        return rows, 2 * (columns - 1)


class Wiener(Deconvolver):
    """Wiener deconvolution (Wiener 1949) of scikit-image.

    The power spectrum of the sky is taken to fall with the square of the frequency; its level over
    the noise measured is that of greatest likelihood (Whittle 1953) for the frame. Rejected pixels
    are filled first, pixels that are not finite stay so. A PSF that varies over the frame is taken
    at its center, which is reported. Needs the whole frame.
    """

    Options = WienerOptions

    def deconvolve(self, frame: Frame) -> Deconvolution:
        """Return the sharper image.

        Parameters
        ----------
        frame : Frame
            Any unit, with a PSF. Not modified.

        Returns
        -------
        Deconvolution
            ``psf`` is exact, for the method is linear; it has negative rings. ``uncertainty`` where
            the frame has one: of each pixel, neighbors are correlated. Metrics ``balance``,
            ``noise`` (of a pixel, unit of the frame), ``noise gain`` (noise after to before),
            ``pixels filled``, ``psf nodes``.

        Raises
        ------
        StageError
            No usable pixel.

        Warns
        -----
        SuspectWarning
            Sources are narrower than the PSF; see `astroclean.core.psf.sharpness`.
        """
        assert frame.psf is not None  # needed, hence checked by the base class
        stamp = central_stamp(frame)
        bad = unusable_pixels(frame, self.name)
        tell_of_sharpness(frame, frame.psf, self.where(frame))
        image = holes_filled(frame.data, bad)
        level, _ = sky_statistics(image[~bad])
        noise = typical_noise(frame)
        widths = [self.options.padding * side for side in stamp.shape]
        padded = _padded(image - level, widths)
        filtering = _designed(padded, stamp, noise, self.options)
        inner = _inner(frame.shape, widths)
        sharper = filtering.applied(padded)[inner] + level
        kernel = filtering.response(np.ones((1, 1)))
        data = np.where(np.isfinite(frame.data), sharper, np.nan).astype(np.float32)
        metrics = {
            "balance": filtering.balance,
            "noise": noise,
            "noise gain": float(np.sqrt(np.sum(kernel**2))),
            "pixels filled": float(np.count_nonzero(bad)),
            "psf nodes": float(len(frame.psf.stamps)),
        }
        return Deconvolution(
            data,
            _centered(filtering.response(stamp), stamp.shape),
            _deviation(frame, bad, kernel, widths),
            metrics=metrics,
        )


def _padded(image: NDArray[np.float64], widths: list[int]) -> NDArray[np.float64]:
    """Continue an image over its borders; sides become even, as `_Filter.shape` supposes."""
    pads = [(w, w + (side % 2)) for w, side in zip(widths, image.shape, strict=True)]
    return np.pad(image, pads, mode="symmetric")


def _inner(shape: tuple[int, int], widths: list[int]) -> tuple[slice, slice]:
    rows, columns = (slice(w, w + side) for w, side in zip(widths, shape, strict=True))
    return rows, columns


def _designed(
    padded: NDArray[np.float64],
    stamp: NDArray[np.float64],
    noise: float,
    options: WienerOptions,
) -> _Filter:
    """Return the filter for an image without background."""
    from skimage.restoration import uft  # noqa: PLC0415 - heavy

    laplacian, _ = uft.laplacian(2, padded.shape)
    # Its root is a gradient: with the Laplacian itself, stars have less power than is supposed at
    # low frequencies, so that too little is left for the high ones.
    # Complex, or scikit-image takes it for an impulse response.
    gradient = np.sqrt(np.abs(laplacian)).astype(np.complex128)
    if options.balance != "auto":
        return _Filter(stamp, gradient, float(options.balance))
    transfer = uft.ir2tf(stamp, padded.shape)
    passed, roughness = np.abs(transfer) ** 2, np.abs(laplacian)
    trials = np.geomspace(_LEAST, _MOST, _TRIALS)
    gains = np.array([_noise_gain(passed, roughness, balance) for balance in trials])
    # One that lowers the noise would blur the frame.
    allowed = trials[(gains <= options.max_noise_gain) & (gains >= 1)]
    if not allowed.size:  # a PSF of one pixel
        return _Filter(stamp, gradient, _LEAST)
    power = np.abs(uft.urfft2(padded)) ** 2
    # Constant frames have neither noise nor power: any floor will do.
    floor = max(noise**2, 1e-12 * float(power.mean()), np.finfo(float).tiny)
    surprise = [_surprise(power / floor, passed, roughness, balance) for balance in allowed]
    return _Filter(stamp, gradient, float(allowed[int(np.argmin(surprise))]))


def _noise_gain(
    passed: NDArray[np.float64], roughness: NDArray[np.float64], balance: float
) -> float:
    """Return by how much a filter changes the standard deviation of white noise."""
    gain = passed / (passed + balance * roughness + np.finfo(float).tiny) ** 2
    weights = np.full(gain.shape[1], 2.0)  # of a real transform half is kept
    weights[[0, -1]] = 1.0
    return float(np.sqrt(np.sum(gain * weights) / (gain.shape[0] * weights.sum())))


def _surprise(
    power: NDArray[np.float64],
    passed: NDArray[np.float64],
    roughness: NDArray[np.float64],
    balance: float,
) -> float:
    """Return minus the logarithm of Whittle's likelihood; ``power`` in units of the noise's."""
    there = roughness > 0  # all but the mean
    expected = passed[there] / (balance * roughness[there]) + 1
    return float(np.sum(np.log(expected) + power[there] / expected))


def _centered(response: NDArray[np.float64], shape: tuple[int, int]) -> Psf:
    """Return the middle of a response, twice as wide as the PSF's stamp because of its rings."""
    ny, nx = response.shape
    half_y, half_x = min(shape[0] - 1, ny // 2 - 1), min(shape[1] - 1, nx // 2 - 1)
    rolled = np.roll(response, (half_y, half_x), axis=(0, 1))
    return Psf(rolled[: 2 * half_y + 1, : 2 * half_x + 1], computed=True)


def _deviation(
    frame: Frame, bad: NDArray[np.bool_], kernel: NDArray[np.float64], widths: list[int]
) -> NDArray[np.float32] | None:
    """Return the standard deviation after the filter, where that before is known."""
    from scipy.fft import irfft2, rfft2  # noqa: PLC0415 - heavy

    before = deviation_of(frame.uncertainty)
    if before is None:
        return None
    unknown = bad | ~np.isfinite(before) | (before < 0)
    variance = nearest_filled(before, unknown).astype(np.float64) ** 2
    padded = _padded(variance, widths)
    spread = irfft2(rfft2(padded) * rfft2(kernel**2), s=padded.shape)[_inner(frame.shape, widths)]
    deviation = np.sqrt(np.maximum(spread, 0))
    # Pixels that were filled are no measurement.
    return np.where(bad, np.nan, deviation).astype(np.float32)
