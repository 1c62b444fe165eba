"""Options told in the other unit, at the scale of a frame: a stage gets plain numbers."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypeVar

from astroclean.core.image.grid import Grid
from astroclean.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.stage import Stage

__all__ = ["at_scale"]

AnyStage = TypeVar("AnyStage", bound="Stage")
_SAME = 1e-3
"""Scales of bands that differ by less are the same: those of headers are rounded."""


def at_scale(stage: AnyStage, frames: Iterable[Frame]) -> AnyStage:
    """Return a stage whose options are plain numbers on the pixels of a frame.

    Parameters
    ----------
    stage : Stage
        Whose options may hold angles in place of pixels, or pixels in place of arcsec.
    frames : iterable of Frame
        One, or the bands of a field. A single pixel does.

    Returns
    -------
    Stage
        The same one where nothing is to be turned over.

    Raises
    ------
    StageError
        The pixel scale is not known, or differs from band to band; the number is outside the
        bounds of its option.
    """
    told = stage.options.lengths()
    if not told:
        return stage
    images = list(frames)
    where = stage.where(images[0])
    scales = [_scale_of(frame) for frame in images]
    known = [scale for scale in scales if scale is not None]
    if known and (len(known) < len(scales) or max(known) - min(known) > _SAME * min(known)):
        raise StageError(
            "the bands have pixels of several sizes, or of unknown ones",
            where=where,
            received=", ".join(f"{name} = {length}" for name, length in told.items()),
            remedy=f"Give {' and '.join(told)} in the unit that the option has by itself.",
        )
    here = copy.copy(stage)
    try:
        here.options = stage.options.at_scale(scales[0])
    except ValueError as error:
        raise StageError(str(error), where=where, remedy=None if known else _REMEDY) from error
    return here


_REMEDY = (
    "Give `--set instrument.pixel_scale=...` in arcsec, or the number without its unit. In Python: "
    "`Frame.read(file, pixel_scale=0.2)`, or `Frame(array, unit='adu', meta={'ACPIXSC': 0.2})`."
)


def _scale_of(frame: Frame) -> float | None:
    return frame.detector.pixel_scale or Grid.from_frame(frame).pixel_scale
