"""Replace pixels that hold nothing of the sky by the median of the frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.plugin import (
    MaskPlane,
    PlaneChoice,
    Removal,
    SourceRemover,
    StageOptions,
    pixels_to_fill,
)

if TYPE_CHECKING:
    from astroclean import Frame

__all__ = ["PLUGIN_CLASS", "Options"]


class Options(StageOptions):
    """Options of `PLUGIN_NAME`."""

    planes: PlaneChoice = "fillable"
    """Planes to fill, by name or alias; ``fillable``: those whose value is not the sky's."""
    offset: float = 0.0
    """Added to the median, in the unit of the frame."""


class PLUGIN_CLASS(SourceRemover):
    """Fills flagged pixels with one value."""

    Options = Options
    reason = MaskPlane.INTERPOLATED

    def remove(self, frame: Frame) -> Removal:
        """Return the median of the usable pixels for those that are to be filled."""
        where = pixels_to_fill(self.options.planes, frame)
        good = frame.data[frame.usable]
        if not good.size:
            return Removal(frame.data, np.zeros(frame.shape, dtype=bool))
        value = np.float32(np.median(good) + self.options.offset)
        return Removal(np.where(where, value, frame.data), where)
