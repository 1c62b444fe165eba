"""Take the level of the camera off a raw frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from astroclean.plugin import Calibration, Calibrator, StageOptions

if TYPE_CHECKING:
    from astroclean import Frame

__all__ = ["PLUGIN_CLASS", "Options"]


class Options(StageOptions):
    """Options of `PLUGIN_NAME`."""

    level: Annotated[float, Field(ge=0)] = 0.0
    """What the camera adds to each pixel, in the unit of the frame."""


class PLUGIN_CLASS(Calibrator):
    """Takes one level off all pixels; overscan, bias, dark and flat would be taken off here."""

    Options = Options

    def calibrate(self, frame: Frame) -> Calibration:
        """Return the frame without the level; a constant adds no noise."""
        deviation = None if frame.uncertainty is None else frame.uncertainty.array
        return Calibration(frame.data - self.options.level, frame.unit, deviation)
