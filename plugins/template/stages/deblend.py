"""Find connected pixels above a threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from astropy.stats import mad_std
from astropy.table import QTable
from pydantic import Field

from astroclean.plugin import Deblender, Separation, Sources, StageOptions

if TYPE_CHECKING:
    from astroclean import Frame

__all__ = ["PLUGIN_CLASS", "Options"]


class Options(StageOptions):
    """Options of `PLUGIN_NAME`."""

    nsigma: Annotated[float, Field(gt=0)] = 20.0
    """Height above the median, in units of the noise."""


class PLUGIN_CLASS(Deblender):
    """Takes each local maximum above a threshold as a source of one pixel."""

    Options = Options

    def separate(self, frame: Frame) -> Separation:
        """Return the pixels that are brighter than their eight neighbours and the threshold."""
        data = np.where(frame.usable, frame.data, -np.inf)
        good = frame.data[frame.usable]
        segmentation = np.zeros(frame.shape, dtype=np.int32)
        peaks = np.zeros(frame.shape, dtype=bool)
        if good.size and min(frame.shape) > 2:
            median = np.median(good)
            noise = mad_std(good)
            core = data[1:-1, 1:-1]
            peaks[1:-1, 1:-1] = core > median + self.options.nsigma * noise
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    if dy or dx:
                        ny, nx = frame.shape
                        near = data[1 + dy : ny - 1 + dy, 1 + dx : nx - 1 + dx]
                        peaks[1:-1, 1:-1] &= core > near
        y, x = np.nonzero(peaks)
        segmentation[y, x] = np.arange(1, len(y) + 1)
        table = QTable(
            {
                "id": np.arange(1, len(y) + 1),
                "x": x.astype(float),
                "y": y.astype(float),
                "peak": frame.data[y, x] * frame.unit,
            }
        )
        return Separation(Sources(table, segmentation))
