"""Pixels that stand for a whole frame, gathered row by row."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["Gatherer", "MomentsGatherer", "SampleGatherer"]

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


class MomentsGatherer:
    """Gathers mean and standard deviation of all valid pixels of a frame.

    Each row is summed in float64 about its own mean, and the rows are put together at the end
    (Chan, Golub & LeVeque 1983, The American Statistician 37, 242), so that neither a high sky
    costs digits nor the height of bands changes them.
    """

    def __init__(self) -> None:
        self._rows: list[NDArray[np.float64]] = []

    def add(self, data: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Take the next rows."""
        for values, believed in zip(data, valid, strict=True):
            pixels = values[believed].astype(np.float64)
            if pixels.size:
                mean = pixels.mean()
                squares = np.square(pixels - mean).sum()
                self._rows.append(np.array([pixels.size, mean, squares]))

    def finish(self) -> tuple[float, float]:
        """Return mean and standard deviation; (0, 0) where no pixel was valid."""
        if not self._rows:
            return 0.0, 0.0
        count, mean, squares = np.transpose(self._rows)
        total = count.sum()
        middle = (count * mean).sum() / total
        variance = (squares + count * np.square(mean - middle)).sum() / total
        return float(middle), float(np.sqrt(variance))
