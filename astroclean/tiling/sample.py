"""Pixels that stand for a whole frame, gathered row by row."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["Gatherer", "SampleGatherer"]

_MOST_PIXELS = 1 << 22


class Gatherer(Protocol):
    """Takes the rows of a frame in order, in bands of any height, and tells what it found."""

    def add(self, data: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Take the next rows; pixels are read only where ``valid``."""

    def finish(self) -> Any:
        """Return what was found."""


class SampleGatherer:
    """Gathers the valid pixels of a frame; of a frame above 4 Mpix, of every n-th row and column.

    n is odd, so that rows and columns of either parity are heard: detectors are read in pairs.

    Parameters
    ----------
    shape : (ny, nx)
        Of the whole frame.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        least = math.ceil(math.sqrt(shape[0] * shape[1] / _MOST_PIXELS))
        self._step = least // 2 * 2 + 1
        self._row = 0
        self._parts: list[NDArray[np.float32]] = []

    def add(self, data: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Take the next rows."""
        chosen = (slice(-self._row % self._step, None, self._step), slice(None, None, self._step))
        self._parts.append(data[chosen][valid[chosen]])
        self._row += data.shape[0]

    def finish(self) -> NDArray[np.float32]:
        """Return the pixels, in the order of the frame."""
        return np.concatenate(self._parts)
