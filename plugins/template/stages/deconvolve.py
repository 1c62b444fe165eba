"""Sharpen a frame by one step of van Cittert's iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from astropy.convolution import convolve_fft
from pydantic import Field

from astroclean.plugin import Deconvolution, Deconvolver, Psf, StageOptions

if TYPE_CHECKING:
    from astroclean import Frame

__all__ = ["PLUGIN_CLASS", "Options"]


class Options(StageOptions):
    """Options of `PLUGIN_NAME`."""

    gain: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Fraction of the correction that is applied."""


class PLUGIN_CLASS(Deconvolver):
    """Adds to the image what the PSF has taken from it: d + gain (d - PSF * d)."""

    Options = Options

    def deconvolve(self, frame: Frame) -> Deconvolution:
        """Return the sharper image; unusable pixels are bridged for the convolution only."""
        assert frame.psf is not None  # a stage of this kind is given no frame without one
        good = frame.data[~frame.mask]
        fill = float(np.median(good)) if good.size else 0.0
        image = np.where(frame.mask, fill, frame.data).astype(np.float64)
        ny, nx = frame.shape
        stamp = frame.psf.at(nx / 2, ny / 2)
        blurred = convolve_fft(image, stamp, boundary="wrap")
        sharp = image + self.options.gain * (image - blurred)
        # The same linear step, done to the PSF, gives the PSF of the result.
        own = stamp + self.options.gain * (stamp - convolve_fft(stamp, stamp, boundary="fill"))
        return Deconvolution(sharp.astype(np.float32), Psf(own))
