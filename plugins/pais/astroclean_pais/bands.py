"""Sources of several bands: looked for together, drawn and measured in each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.grid import Grid

if TYPE_CHECKING:
    from astroclean.core.image.frame import Frame
    from astroclean_pais.detect import Detections

__all__ = ["placed_in"]

_SAME = 0.01
"""Pixels by which grids may differ that are one."""


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
        Places through the sky; sizes and fluxes by the sizes of the pixels.

    Raises
    ------
    GridError
        The grids differ, and no WCS tells where they lie.
    """
    grid, wanted = Grid.of(frame), Grid.of(other)
    if grid.shape == wanted.shape and grid.misalignment(wanted) < _SAME:
        return found
    y, x = (np.asarray(part) for part in grid.to_other(wanted, found.y, found.x))
    step = np.array([0.0, 1.0])
    around = grid.to_other(wanted, np.array([0.0, 0.0]), step)
    scale = float(np.hypot(around[0][1] - around[0][0], around[1][1] - around[1][0]))
    return replace(found, y=y, x=x, radius=found.radius * scale)
