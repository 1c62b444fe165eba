"""For `saturation`: at which value a frame is saturated, one level for each amplifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.stage.scope import chunk_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["Levels"]


@dataclass(frozen=True)
class Levels:
    """Values from which pixels are saturated, in rectangles of the frame."""

    values: tuple[tuple[float, ...], ...]
    """Unit of the frame; rows of rectangles from the first row of pixels on, NaN: none."""
    row_cuts: tuple[int, ...] = ()
    """First rows of pixels of the second and further rows of rectangles."""
    column_cuts: tuple[int, ...] = ()
    """The same for columns."""

    @classmethod
    def same(cls, value: float) -> Levels:
        """Return one level for all pixels."""
        return cls(((value,),))

    @property
    def lowest(self) -> float:
        """The lowest level; NaN where there is none."""
        return float(np.min(self.values))

    @property
    def is_single(self) -> bool:
        """Whether one level is that of all pixels."""
        return not self.row_cuts and not self.column_cuts

    def at(self, y: float, x: float) -> float:
        """Return the level of a pixel of the whole frame."""
        row = int(np.searchsorted(self.row_cuts, y, side="right"))
        return self.values[row][int(np.searchsorted(self.column_cuts, x, side="right"))]

    def over(self, frame: Frame, rows: slice | None = None) -> NDArray[np.float32] | np.float32:
        """Return the level of each pixel.

        Parameters
        ----------
        frame : Frame
            The frame, or a chunk of it.
        rows : slice, optional
            Of these rows of it alone.

        Returns
        -------
        (ny, nx) float32, or float32
            A number where there is one level.
        """
        if self.is_single:
            return np.float32(self.values[0][0])
        (y, x), (ny, nx) = chunk_of(frame).origin, frame.shape
        down = np.searchsorted(self.row_cuts, np.arange(ny)[rows or slice(None)] + y, side="right")
        along = np.searchsorted(self.column_cuts, np.arange(nx) + x, side="right")
        table = np.asarray(self.values, dtype=np.float32)
        return table[down[:, None], along]

    def told(self) -> str:
        """Return the levels in words."""
        if self.is_single:
            return f"{self.lowest:.7g}"
        cuts = [f"row {y}" for y in self.row_cuts] + [f"column {x}" for x in self.column_cuts]
        numbers = "; ".join(", ".join(f"{v:.7g}" for v in row) for row in self.values)
        return f"{numbers} (cut at {' and '.join(cuts)})"
