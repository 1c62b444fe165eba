"""`RowStore`: an image on scratch disk that is written and read by rows, for giant frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["RowStore"]


class RowStore:
    """An image that is never in memory as a whole. Slices of rows give arrays.

    A memory map would do the same, but its pages count as memory of the process.

    Parameters
    ----------
    path : Path
        Scratch file; made empty.
    shape : (int, int)
        (ny, nx) of the whole image.
    dtype : dtype
        Type of the pixels.
    """

    def __init__(self, path: Path, shape: tuple[int, int], dtype: Any) -> None:
        self.path = path
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._stored = self.dtype
        self._any = False
        self._convert: Callable[[NDArray[Any]], NDArray[Any]] | None = None
        path.write_bytes(b"")

    def append(self, rows: NDArray[Any]) -> None:
        """Write the next rows."""
        block = np.ascontiguousarray(rows, dtype=self.dtype)
        self._any = self._any or bool(np.any(block))
        with self.path.open("ab") as stream:
            stream.write(block.tobytes())

    def any(self) -> bool:
        """Return whether any pixel is not zero."""
        return self._any

    def mapped(self, convert: Callable[[NDArray[Any]], NDArray[Any]]) -> RowStore:
        """Return a view whose rows are converted when they are read."""
        view = object.__new__(RowStore)
        view.__dict__.update(self.__dict__, _convert=convert)
        view.dtype = convert(np.zeros((1, 1), self.dtype)).dtype
        view._stored = self.dtype
        return view

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, _ = rows.indices(self.shape[0])
        width = self.shape[1]
        block = np.fromfile(
            self.path,
            dtype=self._stored,
            count=(stop - start) * width,
            offset=start * width * self._stored.itemsize,
        ).reshape(-1, width)
        return block if self._convert is None else self._convert(block)
