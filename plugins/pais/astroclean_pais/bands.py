"""Sources of several bands: looked for together, drawn and measured in each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.grid import Grid
from astroclean.core.stage.scope import chunk_of
from astroclean.errors import StageError
from astroclean_pais.sweeps import Pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.sources.sources import SourceStamp
    from astroclean.tiling.blocks import Block
    from astroclean.tiling.sky import Sky
    from astroclean_pais.detect import Detections

__all__ = ["Band", "is_aligned", "placed_in"]

_SAME = 0.01
"""Pixels by which grids may differ that are one."""
_IN_CHUNKS = 0.5
"""Pixels by which they may differ where the same rows of both are worked on."""


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
        The grids differ, and no WCS tells where they lie, or they are cut into chunks: the same
        rows of both are not the same sky.
    """
    if is_aligned(frame, other):
        return found
    grid, wanted = Grid.from_frame(frame), Grid.from_frame(other)
    is_cut = any(chunk_of(one).shape != one.shape for one in (frame, other))
    if is_cut and (grid.shape != wanted.shape or grid.misalignment(wanted) > _IN_CHUNKS):
        raise StageError(
            "the bands have different pixels, and do not fit into memory as a whole",
            where=other.frame_id,
            remedy="Raise --max-memory, lower -j, or resample the bands to one grid first.",
        )
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


class Band:
    """A frame with its sky and noise.

    Parameters
    ----------
    frame : Frame
        With a PSF; not modified.
    sky : Sky
        Of the whole frame.
    """

    def __init__(self, frame: Frame, sky: Sky) -> None:
        assert frame.psf is not None
        origin = chunk_of(frame).origin
        self.frame, self.sky = frame, sky
        self.level = sky.background.level(origin, frame.shape)
        self.noise = sky.noise(origin, frame.shape)
        self.variance = sky.variance(frame)
        self.usable = frame.usable & np.isfinite(self.variance)
        self.light = np.where(self.usable, frame.data - self.level, np.float32(0))
        self.fwhm = frame.psf.fwhm_pixels

    def pixels(self, block: Block) -> Pixels:
        """Return what is deblended of a block."""
        assert self.frame.psf is not None
        middle = [(side.start + side.stop - 1) / 2 for side in block.core]
        return Pixels(
            self.light[block.read],
            self.variance[block.read],
            self.usable[block.read],
            float(np.median(self.noise[block.read])),
            self.frame.psf.fine_at(middle[1], middle[0]),
            self.fwhm,
        )

    def without_sky(self) -> Frame:
        """Return the frame less its sky."""
        return self.frame.replace(data=(self.frame.data - self.level).astype(np.float32))

    def left(self, stamps: Sequence[SourceStamp]) -> NDArray[np.float32]:
        """Return the frame less all shares; it and they add up to the frame."""
        total = np.zeros(self.frame.shape)
        for stamp in stamps:
            assert stamp.share is not None
            on_image, of_box = stamp.overlap(self.frame.shape)
            total[on_image] += stamp.share[of_box]
        return np.asarray(self.frame.data - total, dtype=np.float32)
