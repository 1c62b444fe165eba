"""`FrameSet`: the same sky in several bands, on the same pixels."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from astroclean.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from astroclean.core.frame import Frame

__all__ = ["FrameSet"]


@dataclass(frozen=True, eq=False)
class FrameSet:
    """Aligned frames, one a band.

    Parameters
    ----------
    frames : mapping of str to Frame
        Band to frame; the order is kept. All frames have the same shape, and where all have a
        celestial WCS, pixel corners agree within ``tolerance`` pixels.
    tolerance : float
        Largest misalignment in pixels.

    Raises
    ------
    FrameError
        No frame, different shapes, or misaligned.
    """

    frames: Mapping[str, Frame]
    tolerance: float = 0.5

    def __post_init__(self) -> None:
        if not self.frames:
            raise FrameError("a frame set needs at least one band")
        object.__setattr__(self, "frames", MappingProxyType(dict(self.frames)))
        reference_band, reference = next(iter(self.frames.items()))
        for band, frame in self.frames.items():
            if frame.shape != reference.shape:
                raise FrameError(
                    f"band '{band}' has shape {frame.shape}, band '{reference_band}' has "
                    f"{reference.shape}; bands of a set lie on the same pixels",
                    where=frame.frame_id,
                )
            offset = _misalignment(reference, frame)
            if not offset <= self.tolerance:  # NaN: on the far side of the sky
                raise FrameError(
                    f"band '{band}' is off band '{reference_band}' by up to {offset:.2f} pixels",
                    where=frame.frame_id,
                    remedy="Resample the bands to one grid first.",
                )

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands, in order."""
        return tuple(self.frames)

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) in pixels, the same for all bands."""
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
        """Return the pixel values as a new array (band, ny, nx)."""
        return np.stack([frame.data for frame in self.frames.values()])


def _misalignment(reference: Frame, frame: Frame) -> float:
    """Return the largest distance in pixels between corners seen through both WCSs."""
    ours, theirs = reference.wcs, frame.wcs
    if ours is None or theirs is None or ours is theirs:
        return 0.0
    if not (ours.has_celestial and theirs.has_celestial):
        return 0.0
    ny, nx = reference.shape
    x, y = np.array([0.0, nx - 1, 0, nx - 1]), np.array([0.0, 0, ny - 1, ny - 1])
    seen_x, seen_y = theirs.celestial.world_to_pixel(ours.celestial.pixel_to_world(x, y))
    return float(np.max(np.hypot(seen_x - x, seen_y - y)))
