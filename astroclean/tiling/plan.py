"""Plan tiles: cores that cover a frame once, each inside a margin that the network may look at.

Along one axis, with ``core = 8``, ``halo = 3``, ``multiple = 4`` and 21 pixels::

    pixels   0       8       16   21
    cores    |-- 0 --|-- 1 --|-2--|
    tile 0   |-----------|                     0 to 12
    tile 1       |---------------|~~~|         4 to 21, and 3 mirrored pixels
    tile 2               |-------|~~~|        12 to 21, and 3 mirrored pixels

A tile begins and ends at a multiple of ``multiple``, counted from the first pixel of the frame, so
a network that halves its grid halves every tile in step with the whole frame. Beyond the last pixel
of the frame stand mirrored pixels of the frame, no more than that takes (`cut_tile`). At the first
pixel a tile just ends: what the network makes of an edge it makes of the frame's edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.errors import FrameError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["Tile", "cut_tile", "plan_tiles", "tiles_within"]


@dataclass(frozen=True)
class Tile:
    """One cut of a frame; every pair is (y, x)."""

    core: tuple[slice, slice]
    """Pixels of the frame that this tile answers for."""
    padded: tuple[slice, slice]
    """Pixels of the frame that it looks at: the core and its margin, clipped at the frame."""
    trim: tuple[slice, slice]
    """Where the core is inside the cut tile."""
    mirrored: tuple[int, int] = (0, 0)
    """Rows and columns after the last of the frame, mirrored from the frame."""

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of the cut tile, mirrored pixels included."""
        y, x = self.padded
        return (y.stop - y.start + self.mirrored[0], x.stop - x.start + self.mirrored[1])


def plan_tiles(
    shape: tuple[int, int], *, core: int, halo: int, multiple: int = 1
) -> tuple[Tile, ...]:
    """Plan the tiles of a frame.

    Parameters
    ----------
    shape : (ny, nx)
        Pixels of the frame, at least one each.
    core : int
        Most pixels a side that a tile answers for (or ``multiple``, where that is more). Cores
        are made about equal and begin at multiples of ``multiple``.
    halo : int
        Least pixels around a core that the tile looks at, as far as the frame goes.
    multiple : int
        Sides of each tile are multiples of this.

    Returns
    -------
    tuple of Tile
        By row, then by column. Each pixel is in exactly one core. A tile is at least ``halo`` wide.

    Raises
    ------
    FrameError
        The frame has no pixel, or a length is not possible.

    Notes
    -----
    The one-dimensional plan is the same for both axes; a frame takes their product.
    """
    if min(shape) < 1 or core < 1 or halo < 0 or multiple < 1:
        raise FrameError(
            "tiles need a frame with pixels, core and multiple of 1 or more, halo of 0 or more",
            received=f"shape {shape}, core {core}, halo {halo}, multiple {multiple}",
        )
    rows, columns = (_plan_axis(length, core, halo, multiple) for length in shape)
    return tuple(
        Tile(
            core=(y.core, x.core),
            padded=(y.padded, x.padded),
            trim=(y.trim, x.trim),
            mirrored=(y.mirrored, x.mirrored),
        )
        for y in rows
        for x in columns
    )


@dataclass(frozen=True)
class _Span:
    """A tile along one axis."""

    core: slice
    padded: slice
    trim: slice
    mirrored: int


def _plan_axis(length: int, core: int, halo: int, multiple: int) -> list[_Span]:
    # The axis as the network would see it in one piece: whole multiples, at least the halo.
    total = _up(max(length, halo), multiple)
    count = -(-length // core)
    step = _up(-(-length // count), multiple)
    if step > core:  # rounding up must not break the bound that the caller set
        step = max(multiple, core // multiple * multiple)
    spans = []
    for start in range(0, length, step):
        stop = min(start + step, length)
        begin = max(0, (start - halo) // multiple * multiple)
        end = min(total, _up(stop + halo, multiple))
        inside = min(end, length)
        trim = slice(start - begin, stop - begin)
        spans.append(_Span(slice(start, stop), slice(begin, inside), trim, end - inside))
    return spans


def _up(value: int, multiple: int) -> int:
    """Return the next multiple, at least one of it."""
    return max(1, -(-value // multiple)) * multiple


def tiles_within(
    tiles: tuple[Tile, ...], *, origin: tuple[int, int], shape: tuple[int, int]
) -> tuple[Tile, ...]:
    """Return the tiles of a frame of which a part holds all that they look at.

    Parameters
    ----------
    tiles : tuple of Tile
        Planned for the whole frame.
    origin : (y, x)
        First pixel of the part.
    shape : (ny, nx)
        Of the part.

    Returns
    -------
    tuple of Tile
        The same tiles, in the same order, counted from the first pixel of the part. Cut from it,
        they are what they are cut from the whole frame.
    """
    return tuple(
        Tile(
            core=_moved(tile.core, origin),
            padded=_moved(tile.padded, origin),
            trim=tile.trim,
            mirrored=tile.mirrored,
        )
        for tile in tiles
        if all(map(_holds, origin, shape, tile.padded, tile.mirrored))
    )


def _holds(start: int, length: int, looked_at: slice, mirrored: int) -> bool:
    """Return whether pixels from ``start`` hold a tile, and those that are mirrored behind it."""
    first: int = min(looked_at.start, looked_at.stop - 1 - mirrored)
    stop: int = looked_at.stop
    # In a frame shorter than its mirror image, all of it is looked at.
    return start <= max(first, 0) and stop <= start + length


def _moved(parts: tuple[slice, slice], origin: tuple[int, int]) -> tuple[slice, slice]:
    y, x = parts
    return slice(y.start - origin[0], y.stop - origin[0]), slice(
        x.start - origin[1], x.stop - origin[1]
    )


def cut_tile(array: NDArray[Any], tile: Tile) -> NDArray[Any]:
    """Cut a tile out of an array of the frame's pixels.

    Parameters
    ----------
    array : (..., ny, nx)
        Of the shape that was planned for. Not modified.
    tile : Tile
        From :func:`plan_tiles`.

    Returns
    -------
    (..., ty, tx) array
        ``tile.shape``; a view where nothing is mirrored. Mirrored pixels come from the frame, not
        from the tile, with the last pixel as the axis and not repeated; in a frame shorter than the
        margin the mirror image is mirrored again.
    """
    y, x = tile.padded
    if tile.mirrored == (0, 0):
        return array[..., y, x]
    ny, nx = array.shape[-2:]
    rows = _reflected(np.arange(y.start, y.stop + tile.mirrored[0]), ny)
    columns = _reflected(np.arange(x.start, x.stop + tile.mirrored[1]), nx)
    cut: NDArray[Any] = array[..., rows[:, np.newaxis], columns]
    return cut


def _reflected(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    if length == 1:
        return np.zeros_like(index)
    period = 2 * (length - 1)
    folded = index % period
    return np.minimum(folded, period - folded)
