"""Flags of a frame from what a file holds beside its DQ: sections, coverage, our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.sections import parse_section

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.io.fits.source import FitsSource
    from astroclean.io.frames.grouping import FrameSlot

__all__ = ["file_flags", "own_flags"]

Window = tuple[slice, slice]


def own_flags(source: FitsSource, slot: FrameSlot, window: Window | None) -> NDArray[np.uint32]:
    """Return the flags that an earlier run wrote; zero where there are none."""
    hdu = slot.companions.get("flags")
    if hdu is None:
        y, x = _pixels(slot, window)
        return np.zeros((len(y), len(x)), dtype=np.uint32)
    flags: NDArray[np.uint32] = source.read(hdu.index, plane=slot.plane, window=window).astype(
        np.uint32
    )
    return flags


def file_flags(
    source: FitsSource, slot: FrameSlot, window: Window | None, *, section: Any
) -> NDArray[np.uint32]:
    """Return OVERSCAN outside the section exposed to the sky, NO_DATA where nothing was seen.

    Parameters
    ----------
    source : FitsSource
        Open file.
    slot : FrameSlot
        The frame; its coverage counts.
    window : (slice, slice) or None
        (y, x) part to read.
    section : object
        Value of the card that names the exposed section, such as ``[1:2048,1:2048]``.

    Returns
    -------
    (ny, nx) uint32
        A new array.
    """
    flags = _outside_section(section, *_pixels(slot, window)) * np.uint32(MaskPlane.OVERSCAN)
    coverage = slot.companions.get("coverage")
    if coverage is not None:
        seen = source.read(coverage.index, plane=slot.plane, window=window)
        flags[~(seen > 0)] |= np.uint32(MaskPlane.NO_DATA)
    return flags


def _pixels(slot: FrameSlot, window: Window | None) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of a window: the frame may be larger than memory."""
    ny, nx = slot.science.shape[-2:]
    rows, columns = window or (slice(0, ny), slice(0, nx))
    return np.arange(ny)[rows], np.arange(nx)[columns]


def _outside_section(section: Any, y: NDArray[np.intp], x: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return the pixels outside a section; none where the card tells none."""
    section = parse_section(section)
    if section is None:
        return np.zeros((len(y), len(x)), dtype=bool)
    inside_y, inside_x = section
    rows = (y < inside_y.start) | (y >= inside_y.stop)
    columns = (x < inside_x.start) | (x >= inside_x.stop)
    outside: NDArray[np.bool_] = rows[:, np.newaxis] | columns
    return outside
