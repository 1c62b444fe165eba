"""Images by rows: `RowStore` keeps one on scratch disk, for frames that do not fit into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["RowStore", "blocks_of", "mapped", "row_blocks", "window_of"]

_BLOCK_BYTES = 32_000_000


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
        self._converts: tuple[Callable[[NDArray[Any]], NDArray[Any]], ...] = ()
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
        """Return a view whose rows are converted when they are read; of a view, once more."""
        view = object.__new__(RowStore)
        view.__dict__.update(self.__dict__, _converts=(*self._converts, convert))
        view.dtype = convert(np.zeros((1, 1), self.dtype)).dtype
        return view

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, _ = rows.indices(self.shape[0])
        width = self.shape[1]
        block: NDArray[Any] = np.fromfile(
            self.path,
            dtype=self._stored,
            count=max(stop - start, 0) * width,
            offset=start * width * self._stored.itemsize,
        ).reshape(-1, width)
        for convert in self._converts:
            block = convert(block)
        return block


def mapped(image: Any, convert: Callable[[NDArray[Any]], NDArray[Any]]) -> Any:
    """Return an image, or one on scratch disk, whose pixels are converted."""
    return image.mapped(convert) if isinstance(image, RowStore) else convert(np.asarray(image))


def blocks_of(*images: Any, multiple: int = 1) -> Iterator[tuple[NDArray[Any], ...]]:
    """Yield images of one shape by blocks of whole rows, side by side.

    Parameters
    ----------
    *images : (ny, nx) array or RowStore
        An array is one block: it is in memory.
    multiple : int
        All blocks but the last have a multiple of so many rows.
    """
    ny, nx = images[0].shape
    if not any(isinstance(image, RowStore) for image in images):
        yield images
        return
    for rows in row_blocks((ny, nx), multiple=multiple):
        yield tuple(image[rows] for image in images)


def row_blocks(shape: tuple[int, int], *, multiple: int = 1) -> Iterator[slice]:
    """Yield slices of rows, small enough to be read at once, that together are an image.

    Parameters
    ----------
    shape : (int, int)
        (ny, nx) of the image.
    multiple : int
        All but the last have a multiple of so many rows.
    """
    ny, nx = shape
    rows = max(_BLOCK_BYTES // max(8 * nx, 1) // multiple, 1) * multiple
    for start in range(0, ny, rows):
        yield slice(start, min(start + rows, ny))


def window_of(image: Any, rows: slice, columns: slice) -> NDArray[Any]:
    """Return a window of an array or a `RowStore`.

    Parameters
    ----------
    image : (ny, nx) array or RowStore
        Not modified.
    rows, columns : slice
        Their steps may be greater than 1.
    """
    if isinstance(image, RowStore) and rows.step not in (None, 1):
        wanted = range(image.shape[0])[rows]
        return np.concatenate([image[row : row + 1][:, columns] for row in wanted])
    return np.asarray(image[rows][:, columns])
