"""Flag pixels that stand far above their surroundings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from astropy.stats import mad_std
from pydantic import Field

from astroclean.plugin import Mask, Masker, MaskPlane, StageOptions

if TYPE_CHECKING:
    from astroclean import Frame

__all__ = ["PLUGIN_CLASS", "Options"]


class Options(StageOptions):
    """Options of `PLUGIN_NAME`."""

    nsigma: Annotated[float, Field(gt=0)] = 50.0
    """Height above the median, in units of the noise."""


class PLUGIN_CLASS(Masker):
    """Flags pixels above a threshold over the whole frame."""

    Options = Options
    sets = MaskPlane.HOT_PIXEL

    def find(self, frame: Frame) -> Mask:
        """Return HOT_PIXEL where a pixel is `nsigma` above the median of the frame."""
        good = frame.data[frame.usable]
        flags = np.zeros(frame.shape, dtype=np.uint32)
        if good.size:
            median = np.median(good)
            noise = mad_std(good)
            hot = frame.usable & (frame.data > median + self.options.nsigma * noise)
            flags[hot] = MaskPlane.HOT_PIXEL
        return Mask(flags)
