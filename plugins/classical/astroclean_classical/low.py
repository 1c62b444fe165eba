"""What stages say of pixels far below the sky that no stage before has flagged."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from astroclean.core.stage.low_pixels import far_below_sky
from astroclean.core.stage.scope import chunk_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.errors import AstrocleanWarning

__all__ = ["tell_unflagged"]

_GARBAGE = 100.0
"""Deviations below the sky, and below zero, from which pixels are told."""


def tell_unflagged(
    low: NDArray[np.bool_], frame: Frame, stage: str, category: type[AstrocleanWarning]
) -> None:
    """Warn where a frame has pixels that no light tells, and that are not flagged.

    Parameters
    ----------
    low : (ny, nx) bool
        As of `astroclean.core.stage.low_pixels.far_below_sky`.
    frame : Frame
        What is said is of its own rows, and the same for each chunk of a frame.
    stage : str
        Name of the stage.
    category : type
        `SuspectWarning` of a stage that gives an image, in which they are left.
    """
    told = low & (frame.data < 0)
    # Dead pixels that keep their bias are usual in frames, and only counted.
    if told.any():
        told &= far_below_sky(frame, _GARBAGE)
    if told[chunk_of(frame).own].any():
        text = (
            f"{frame.frame_id}, stage '{stage}': single pixels or groups lie far below the sky, as "
            "wrapped integers or dead pixels do, and no stage before has flagged them. They are "
            "not read, and left as they are. Put `badpix` before this stage"
        )
        warnings.warn(text, category, stacklevel=3)
