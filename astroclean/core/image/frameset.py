"""`FrameSet`: the same sky in several bands."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.grid import Grid
from astroclean.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["FrameSet"]


@dataclass(frozen=True, eq=False)
class FrameSet:
    """Frames of the same sky, one a band, each on its own grid.

    Parameters
    ----------
    frames : mapping of str to Frame
        Band to frame; the order is kept.
    tolerance : float
        Largest misalignment, in pixels, at which bands count as aligned.

    Raises
    ------
    FrameError
        No frame.
    """

    frames: Mapping[str, Frame]
    tolerance: float = 0.5

    def __post_init__(self) -> None:
        if not self.frames:
            raise FrameError("a frame set needs at least one band")
        object.__setattr__(self, "frames", MappingProxyType(dict(self.frames)))

    @property
    def aligned(self) -> bool:
        """Whether all bands lie on the same pixels."""
        return self._offset() is None

    def require_aligned(self, where: str) -> None:
        """Raise where the bands do not lie on the same pixels.

        Parameters
        ----------
        where : str
            Who needs that.

        Raises
        ------
        FrameError
            Shapes differ, or corners by more than ``tolerance`` where all have a celestial WCS.
        """
        problem = self._offset()
        if problem is not None:
            raise FrameError(
                f"{problem[0]}; it needs bands on the same pixels",
                where=f"{problem[1]}, {where}",
                remedy="Resample the bands to one grid first.",
            )

    def _offset(self) -> tuple[str, str] | None:
        """Return what is off, in words, and the frame that is."""
        reference_band, reference = next(iter(self.frames.items()))
        for band, frame in self.frames.items():
            if frame.shape != reference.shape:
                shapes = f"{frame.shape}, band '{reference_band}' has {reference.shape}"
                return f"band '{band}' has shape {shapes}", frame.frame_id
            offset = Grid.from_frame(reference).misalignment(Grid.from_frame(frame))
            if not offset <= self.tolerance:  # NaN: on the far side of the sky
                text = f"band '{band}' is off band '{reference_band}' by up to {offset:.2f} pixels"
                return text, frame.frame_id
        return None

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands, in order."""
        return tuple(self.frames)

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) in pixels of aligned bands.

        Raises
        ------
        FrameError
            The bands are not aligned.
        """
        self.require_aligned("the shape of a set")
        return next(iter(self.frames.values())).shape

    def __getitem__(self, band: str) -> Frame:
        return self.frames[band]

    def __iter__(self) -> Iterator[str]:
        return iter(self.frames)

    def __len__(self) -> int:
        return len(self.frames)

    def replace(self, **frames: Frame) -> FrameSet:
        """Return a set in which some bands have other frames."""
        return FrameSet({**self.frames, **frames}, tolerance=self.tolerance)

    def read_only(self) -> FrameSet:
        """Return the set as a hook gets it: arrays cannot be written to."""
        view = copy.copy(self)
        frames = {band: frame.read_only() for band, frame in self.frames.items()}
        object.__setattr__(view, "frames", MappingProxyType(frames))
        return view

    def stack(self) -> NDArray[np.float32]:
        """Return the pixel values as a new array (band, ny, nx).

        Raises
        ------
        FrameError
            The bands are not aligned.
        """
        self.require_aligned("the stack of a set")
        return np.stack([frame.data for frame in self.frames.values()])
