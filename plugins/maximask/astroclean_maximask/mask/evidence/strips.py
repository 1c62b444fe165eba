"""Strips of a frame: what the rules look at. A frame in bands has the strips of the whole frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.stage.scope import chunk_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.inference.tiles.normalize import Measurement

__all__ = ["CONNECTED", "Strip", "components", "strips_of", "widened"]

CONNECTED = np.ones((3, 3), dtype=bool)
"""Pixels that touch at a corner belong together."""


@dataclass(frozen=True, eq=False)
class Strip:
    """Rows of a frame, its full width, with the rows around them that may be looked at."""

    data: NDArray[np.float32]
    """(ny, nx) pixels in the unit of the frame, rows around included."""
    own: slice
    """The rows that are judged. Flags of others are not known."""
    origin: int
    """Row of the whole frame that ``data`` begins with."""
    shape: tuple[int, int]
    """(ny, nx) of the whole frame."""
    meta: Any
    """Header of the frame."""
    measured: Measurement
    """Sky and noise of the whole frame."""

    @cached_property
    def sky(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Level and standard deviation of the sky, in the unit of the frame."""
        state = self.measured.state_of((self.origin, 0), (self.data.shape[0], self.data.shape[1]))
        level, width = np.asarray(state.offset), np.asarray(state.width)
        return (
            np.broadcast_to(level, self.data.shape).astype(np.float32),
            np.broadcast_to(width, self.data.shape).astype(np.float32),
        )

    @cached_property
    def light(self) -> NDArray[np.float32]:
        """Pixels above the sky in units of its noise; 0 where there is no value."""
        level, width = self.sky
        with np.errstate(invalid="ignore", over="ignore"):
            light = (self.data - level) / width
        return np.where(np.isfinite(light), light, np.float32(0))

    @property
    def is_first(self) -> bool:
        """Whether the judged rows begin at the border of the frame."""
        return bool(self.origin + self.own.start == 0)

    @property
    def is_last(self) -> bool:
        """Whether the judged rows end at the border of the frame."""
        return bool(self.origin + self.own.stop == self.shape[0])


def strips_of(frame: Frame, measured: Measurement, *, height: int, margin: int) -> Iterator[Strip]:
    """Yield the strips that a frame, or a part of one, holds whole.

    Parameters
    ----------
    frame : Frame
        Not modified.
    measured : Measurement
        Sky and noise of the whole frame.
    height : int
        Rows of a strip, counted from the first row of the whole frame.
    margin : int
        Rows around a strip that may be looked at.

    Yields
    ------
    Strip
        From the first row to the last.
    """
    part = chunk_of(frame)
    first, stop = part.origin[0], part.origin[0] + frame.shape[0]
    for top in range(-(-first // height) * height, stop, height):
        bottom = min(top + height, part.shape[0])
        if bottom > stop:
            return
        begin, end = max(top - margin, 0), min(bottom + margin, part.shape[0])
        if begin < first or end > stop:  # in the halo of a band, which nobody keeps
            continue
        yield Strip(
            frame.data[begin - first : end - first],
            slice(top - begin, bottom - begin),
            begin,
            part.shape,
            frame.meta,
            measured,
        )


def components(
    found: NDArray[np.bool_], *, margin: int = 0
) -> Iterator[tuple[tuple[slice, slice], NDArray[np.bool_]]]:
    """Yield the groups of connected pixels.

    Parameters
    ----------
    found : (ny, nx) bool
        Pixels.
    margin : int
        Pixels around a group that its box holds, where the frame does.

    Yields
    ------
    box : (slice, slice)
        Of the group.
    group : (h, w) bool
        Its pixels within the box.
    """
    from scipy.ndimage import find_objects, label  # noqa: PLC0415 - heavy

    labels, _ = label(found, CONNECTED)
    for number, (rows, columns) in enumerate(find_objects(labels), 1):
        box = (
            slice(max(rows.start - margin, 0), rows.stop + margin),
            slice(max(columns.start - margin, 0), columns.stop + margin),
        )
        yield box, labels[box] == number


def widened(found: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Return pixels and those within a square of 2 ``reach`` + 1 around them; a new array.

    The same as a dilation, in a tenth of the time for whole strips.
    """
    tall = found.copy()
    for shift in range(1, min(reach, found.shape[0] - 1) + 1):
        tall[shift:] |= found[:-shift]
        tall[:-shift] |= found[shift:]
    wide = tall.copy()
    for shift in range(1, min(reach, found.shape[1] - 1) + 1):
        wide[:, shift:] |= tall[:, :-shift]
        wide[:, :-shift] |= tall[:, shift:]
    return wide
