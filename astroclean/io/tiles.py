"""Refuse tile-compressed images whose numbers contradict each other, before a decoder trusts them.

Decoders in C take tile sizes as told: wrong ones ask for absurd memory or crash the process.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = ["check_tiles"]

_HCOMPRESS_HEAD = 10  # bytes: magic number, two sides of four bytes each


def check_tiles(stream: BinaryIO, header: Header, data_start: int) -> None:
    """Check the table of a compressed image.

    Parameters
    ----------
    stream : BinaryIO
        The file, unpacked.
    header : Header
        Header of the table.
    data_start : int
        Byte at which its rows begin.

    Raises
    ------
    ValueError
        Tiles do not match the rows of the table, or a stream does not match its tile.
    """
    axes = range(header["ZNAXIS"], 0, -1)
    lengths = [int(header[f"ZNAXIS{n}"]) for n in axes]
    tiles = [int(header.get(f"ZTILE{n}", lengths[-1] if n == 1 else 1)) for n in axes]
    if min(tiles, default=0) < 1:
        raise ValueError(f"tiles of {tiles} pixels")
    grid = [-(-length // tile) for length, tile in zip(lengths, tiles, strict=True)]
    rows = int(header["NAXIS2"])
    if math.prod(grid) != rows:
        raise ValueError(f"{math.prod(grid)} tiles but {rows} table rows")
    if header["ZCMPTYPE"] == "HCOMPRESS_1" and header.get("TTYPE1") == "COMPRESSED_DATA":
        for row, sides in _hcompress_sides(stream, header, data_start):
            place = [int(n) for n in np.unravel_index(row, grid)]
            whole = zip(lengths, tiles, place, strict=True)
            expected = math.prod(min(tile, length - n * tile) for length, tile, n in whole)
            if min(sides) < 1 or math.prod(sides) != expected:
                raise ValueError(f"tile {row} holds {sides} pixels, not {expected}")


def _hcompress_sides(
    stream: BinaryIO, header: Header, data_start: int
) -> list[tuple[int, tuple[int, int]]]:
    """Return table row and sides of each HCOMPRESS stream, which it tells at its beginning."""
    width, rows = int(header["NAXIS1"]), int(header["NAXIS2"])
    if data_start + width * rows > stream.seek(0, io.SEEK_END):
        raise ValueError("the table of tiles ends behind the file")
    kind = np.dtype(">i8" if "Q" in header["TFORM1"] else ">i4")
    stream.seek(data_start)
    table = np.frombuffer(stream.read(width * rows), dtype=np.uint8).reshape(rows, width)
    places = np.ascontiguousarray(table[:, : 2 * kind.itemsize]).view(kind)
    heap = data_start + int(header.get("THEAP", width * rows))
    found = []
    for row, (length, offset) in enumerate(places.tolist()):
        if length > 0:  # otherwise the tile lies in another column
            stream.seek(heap + offset)
            first, second = np.frombuffer(stream.read(_HCOMPRESS_HEAD)[2:], dtype=">i4").tolist()
            found.append((row, (first, second)))
    return found
