"""Reject exposures in which too few pixels are usable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from astroclean.plugin import Score, Screener, StageOptions

if TYPE_CHECKING:
    from astroclean import Frame

__all__ = ["PLUGIN_CLASS", "Options"]


class Options(StageOptions):
    """Options of `PLUGIN_NAME`."""

    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Fraction of unusable pixels above which the exposure is rejected."""


class PLUGIN_CLASS(Screener):
    """Scores an exposure by its fraction of unusable pixels."""

    Options = Options

    def score(self, frame: Frame) -> Score:
        """Return the fraction of pixels that the mask rejects."""
        fraction = float(np.mean(frame.mask))
        return Score(fraction, self.options.threshold, (f"{fraction:.1%} of pixels unusable",))
