"""Parts of a frame that are worked on at once, on a grid that does not depend on how it is cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.stage.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from astroclean.core.stage.scope import Chunk, Survey

__all__ = ["Block", "BlockGrid", "is_in_core", "is_near", "within"]

_SEAM = 0.5
"""Pixels beyond a core to which detections are kept, until both sides of a seam are compared."""


@dataclass(frozen=True)
class Block:
    """Pixels of a frame, or of a chunk of it."""

    core: tuple[slice, slice]
    """Of the frame at hand."""
    read: tuple[slice, slice]
    """The core and what is around it."""

    @property
    def origin(self) -> tuple[int, int]:
        """First pixel that is read, (y, x)."""
        return self.read[0].start, self.read[1].start


@dataclass(frozen=True)
class BlockGrid:
    """Blocks of one size; those of a chunk are those of the whole frame that it can read whole."""

    core: int
    """Pixels along a block: each source belongs to the block that its centre lies in."""
    around: int
    """Pixels around a core that are read with it."""

    def scope(self, survey: Survey | None = None) -> Scope:
        """Return what a stage must see that works by these blocks: one, and what is around it."""
        return Scope(self.core + self.around, self.core, survey)

    def blocks(self, shape: tuple[int, int], chunk: Chunk) -> Iterator[Block]:
        """Yield the blocks of a frame that can be read whole.

        Parameters
        ----------
        shape : (int, int)
            (ny, nx) of the frame at hand.
        chunk : Chunk
            Where it lies in the larger one.

        Yields
        ------
        Block
            By rows; in a chunk those whose surroundings it has.
        """
        for rows in self._sides(shape[0], chunk.origin[0], chunk.shape[0]):
            for columns in self._sides(shape[1], chunk.origin[1], chunk.shape[1]):
                yield Block((rows[0], columns[0]), (rows[1], columns[1]))

    def _sides(self, length: int, first: int, whole: int) -> Iterator[tuple[slice, slice]]:
        """Yield core and what is read of it along an axis, in pixels of the frame at hand."""
        for start in range(0, whole, self.core):
            stop = min(start + self.core, whole)
            low, high = max(start - self.around, 0), min(stop + self.around, whole)
            if low >= first and high <= first + length:
                yield slice(start - first, stop - first), slice(low - first, high - first)


def within(inner: tuple[slice, slice], outer: tuple[slice, slice]) -> tuple[slice, slice]:
    """Return rows and columns in the pixels of others, which hold them."""
    rows, columns = (
        slice(part.start - around.start, part.stop - around.start)
        for part, around in zip(inner, outer, strict=True)
    )
    return rows, columns


def is_near(values: NDArray[np.float64], pixels: slice, beyond: float = _SEAM) -> NDArray[np.bool_]:
    """Return which places along an axis, (n,), lie in the pixels of a core or a little beyond."""
    low, high = pixels.start - 0.5 - beyond, pixels.stop - 0.5 + beyond
    return np.asarray((values >= low) & (values < high))


def is_in_core(values: NDArray[np.float64], pixels: slice, length: int) -> NDArray[np.bool_]:
    """Return which places, (n,), belong to a core; those beyond the frame to the one at its border.

    Parameters
    ----------
    values : (n,) float64
        Along an axis of the frame at hand.
    pixels : slice
        Of the core.
    length : int
        Of the frame at hand.
    """
    low = -np.inf if pixels.start == 0 else pixels.start - 0.5
    high = np.inf if pixels.stop == length else pixels.stop - 0.5
    return np.asarray((values >= low) & (values < high))
