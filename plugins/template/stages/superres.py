"""Put a frame on a finer grid by spreading each pixel evenly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from astroclean.plugin import Psf, StageOptions, SuperResolver, Upsampling

if TYPE_CHECKING:
    from astroclean import Frame

__all__ = ["PLUGIN_CLASS", "Options"]


class Options(StageOptions):
    """Options of `PLUGIN_NAME`."""

    factor: Annotated[int, Field(ge=2, le=8)] = 2
    """Pixels of the finer grid along one pixel of the frame."""


class PLUGIN_CLASS(SuperResolver):
    """Repeats pixels; the flux of a pixel is shared among its parts."""

    Options = Options

    def upsample(self, frame: Frame) -> Upsampling:
        """Return every pixel as `factor` x `factor` pixels of the same total flux."""
        assert frame.psf is not None  # a stage of this kind is given no frame without one
        factor = self.options.factor
        finer = np.repeat(np.repeat(frame.data, factor, axis=0), factor, axis=1) / factor**2
        psf = Psf.resampled(frame.psf.stamps[0], scale=1 / factor)
        return Upsampling(finer.astype(np.float32), psf)
