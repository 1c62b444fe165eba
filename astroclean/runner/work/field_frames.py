"""`FieldFrames`: the frames of a field as they are in their files, whole or by rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.stage.low_pixels import sample_step, sky_of
from astroclean.core.stage.scope import Chunk
from astroclean.io.scratch.rowstore import row_blocks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astroclean.core.image.frame import Frame
    from astroclean.io.frames.grouping import FrameSlot
    from astroclean.io.frames.read import Exposure
    from astroclean.runner.plan.chunks import ChunkRows
    from astroclean.runner.plan.psf_source import PsfSource

__all__ = ["FieldFrames", "Origin"]


@dataclass(frozen=True)
class Origin:
    """Where the pixels of a frame come from."""

    exposure: Exposure
    """Open."""
    slot: FrameSlot
    psf: PsfSource | None

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) in pixels of the HDU; one color of a mosaic has fewer."""
        return self.slot.science.shape[-2], self.slot.science.shape[-1]


class FieldFrames:
    """A frame, or the bands of one sky, as no stage has seen them.

    Parameters
    ----------
    origins : mapping of str to Origin
        Band to where its frame comes from.
    is_cut : bool
        Whether they are read by rows, since they do not fit into memory.
    """

    def __init__(self, origins: Mapping[str, Origin], *, is_cut: bool) -> None:
        self.origins = dict(origins)
        self.skies: dict[str, tuple[float, float] | None] = {}
        """Band to level and noise before the first stage, once measured."""
        self._is_cut = is_cut
        self._read: dict[str, Frame] = {}

    @property
    def height(self) -> int:
        """Rows of the frames."""
        return next(iter(self.origins.values())).shape[0]

    def forget(self) -> None:
        """Hold nothing in memory."""
        self._read = {}

    def before(self) -> dict[str, Frame]:
        """Return the frames as they are in the file, where they fit into memory."""
        if not self._read:
            for band, origin in self.origins.items():
                frame = origin.exposure.frame(origin.slot)
                step = sample_step(frame.shape)
                self.skies[band] = sky_of(frame.data[::step, ::step])
                self._read[band] = self._part(band, frame, shape=frame.shape)
        return self._read

    def chunk(
        self, chunk: ChunkRows, measured: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Frame]:
        """Return rows of the frames as they are in the file."""
        if not self._is_cut:
            return self.before()
        return {band: self.rows(band, chunk, measured.get(band)) for band in self.origins}

    def rows(self, band: str, chunk: ChunkRows, measured: Mapping[str, Any] | None = None) -> Frame:
        """Return rows of one frame."""
        origin = self.origins[band]
        frame = origin.exposure.frame(origin.slot, (chunk.seen, slice(0, origin.shape[1])))
        return self._part(
            band, frame, origin=(chunk.seen.start, 0), own=chunk.own, measured=measured or {}
        )

    def _part(self, band: str, frame: Frame, **where: Any) -> Frame:
        """Return a frame that knows where in its larger one it lies, and the sky there."""
        place = {"origin": (0, 0), "shape": self.origins[band].shape, **where}
        chunk = Chunk(sky=self.skies[band], **place)
        return frame.replace(chunk=chunk)

    def measure_sky(self) -> None:
        """Measure level and noise of frames that are read by rows, before the first stage."""
        for band, origin in self.origins.items():
            if band in self.skies:
                continue
            step = sample_step(origin.shape)
            rows = [
                origin.exposure.frame(origin.slot, (block, slice(0, origin.shape[1])))
                .data[::step, ::step]
                .copy()  # or all the rows would stay in memory
                for block in row_blocks(origin.shape, multiple=step)
            ]
            self.skies[band] = sky_of(np.concatenate(rows))
