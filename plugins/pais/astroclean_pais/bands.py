"""Sources of several bands: looked for together, drawn and measured in each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.grid import Grid
from astroclean.errors import StageError

if TYPE_CHECKING:
    from astroclean.core.image.frame import Frame
    from astroclean_pais.detect import Detections

__all__ = ["is_aligned", "placed_in"]

_SAME = 0.01
"""Pixels by which grids may differ that are one."""


def is_aligned(frame: Frame, other: Frame) -> bool:
    """Return whether two frames have the same pixels, as far as their WCSs tell."""
    grid, wanted = Grid.from_frame(frame), Grid.from_frame(other)
    return grid.shape == wanted.shape and grid.misalignment(wanted) < _SAME


def placed_in(found: Detections, frame: Frame, other: Frame) -> Detections:
    """Return detections in the pixels of another frame.

    Parameters
    ----------
    found : Detections
        In pixels of ``frame``.
    frame, other : Frame
        With a celestial WCS, where their grids differ.

    Returns
    -------
    Detections
        Places through the sky; sizes by those of the pixels; turned pixels keep their ellipses.

    Raises
    ------
    StageError
        The grids differ, and no WCS tells where they lie.
    """
    if is_aligned(frame, other):
        return found
    grid, wanted = Grid.from_frame(frame), Grid.from_frame(other)
    if grid.wcs is None or wanted.wcs is None:
        raise StageError(
            "the bands have different pixels, and no WCS tells where they lie",
            where=other.frame_id,
            received=f"{wanted.shape}, the first band {grid.shape}",
            remedy="Give both a celestial WCS, or resample them to one grid.",
        )
    ours, theirs = grid.wcs.celestial, wanted.wcs.celestial
    x, y = theirs.world_to_pixel(ours.pixel_to_world(found.x, found.y))
    sizes = [np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))) for wcs in (ours, theirs)]
    return replace(
        found,
        y=np.asarray(y, dtype=np.float64),
        x=np.asarray(x, dtype=np.float64),
        radius=found.radius * float(sizes[0] / sizes[1]),
    )
