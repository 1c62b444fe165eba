"""Write a mask stage of your own and use it without installing it as a plugin."""

from typing import Annotated

import numpy as np
from pydantic import Field

from astroclean import Frame, MaskPlane, StageOptions, load_stage
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.results import Mask
from astroclean.testing.frames import synthetic_frame


class BorderOptions(StageOptions):
    """Options of the stage."""

    width: Annotated[int, Field(ge=0)] = 8
    """Width of the border, in pixels."""


class Border(Masker):
    """Flags the border of the frame."""

    Options = BorderOptions
    sets = MaskPlane.EDGE

    def find(self, frame: Frame) -> Mask:
        """Return EDGE near the border."""
        ny, nx = frame.shape
        y, x = np.indices(frame.shape)
        distance = np.minimum.reduce([y, x, ny - 1 - y, nx - 1 - x])
        return Mask(np.where(distance < self.options.width, np.uint32(MaskPlane.EDGE), 0))


frame = synthetic_frame(seed=1)
result = Border(BorderOptions(width=5)).run(frame)
print(f"flagged: {result.metrics['fraction flagged']:.1%}")

# It works with the installed plugins as any stage does.
sources = load_stage("sep").run(result.frame).frame.sources
print(f"sources found: {len(sources)}")
