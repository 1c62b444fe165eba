"""Make a frame of whatever an astronomer holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io.fits import HDUList
from astropy.nddata import NDData

from astroclean.core.image.frame import Frame
from astroclean.errors import FrameError

if TYPE_CHECKING:
    from astropy.units import Unit

__all__ = ["as_frame"]


def as_frame(image: Any, *, unit: Unit | str = "adu") -> Frame:
    """Return a frame.

    Parameters
    ----------
    image : Frame, path, HDUList, NDData, Quantity or (ny, nx) array_like
        A frame is returned as it is.
    unit : astropy unit or str
        Unit where ``image`` carries none.

    Returns
    -------
    Frame
        The frame.

    Raises
    ------
    FrameError
        The object cannot be made a frame.
    """
    if isinstance(image, Frame):
        return image
    if isinstance(image, (str, Path, HDUList)):
        return Frame.read(image)
    if isinstance(image, NDData):
        return Frame(image, unit=image.unit or unit)
    if hasattr(image, "__array__") or isinstance(image, (list, tuple)):
        # A masked array keeps its mask, which CCDData takes from it.
        array = image if hasattr(image, "unit") else np.asanyarray(image)
        return Frame(array, unit=getattr(image, "unit", None) or unit)
    raise FrameError(
        "cannot be made a frame",
        received=type(image).__name__,
        remedy="Give a path, HDUList, NDData, CCDData, Quantity or 2-D array.",
    )
