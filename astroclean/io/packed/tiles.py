"""Refuse tile-compressed images whose numbers contradict each other, before a decoder trusts them.

Decoders in C take tile sizes as told: wrong ones ask for absurd memory or crash the process.
"""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from numpy.typing import NDArray

__all__ = ["check_tiles"]

_COLUMNS = ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA", "UNCOMPRESSED_DATA")
_FORM = re.compile(r"(\d*)([A-Z])([A-Z]?)")
_WIDTHS = dict(zip("LBIJKAEDCMPQ", (1, 1, 2, 4, 8, 1, 4, 8, 8, 16, 8, 16), strict=True))


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
        Tiles do not match the rows of the table, or a tile lies outside the heap.
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
    for name, places, itemsize in _descriptors(stream, header, data_start):
        _check_places(name, places, itemsize, header)


def _check_places(name: str, places: NDArray[np.int64], itemsize: int, header: Header) -> None:
    """Refuse tiles that lie outside the heap, by lengths and offsets of a column."""
    begin = int(header.get("THEAP", int(header["NAXIS1"]) * int(header["NAXIS2"])))
    room = int(header["NAXIS1"]) * int(header["NAXIS2"]) + int(header["PCOUNT"]) - begin
    lengths, offsets = places[:, 0], places[:, 1]
    used = lengths != 0
    # Compared without a sum, which could overflow.
    outside = (lengths < 0) | (offsets < 0) | (lengths > max(room, 0) // itemsize)
    outside |= offsets > room - itemsize * np.where(outside, 0, lengths)
    if (outside & used).any():
        row = int(np.flatnonzero(outside & used)[0])
        raise ValueError(f"{name} of tile {row} lies outside the heap of {room} bytes")


def _descriptors(
    stream: BinaryIO, header: Header, data_start: int
) -> list[tuple[str, NDArray[np.int64], int]]:
    """Return name, (rows, 2) lengths and offsets, and bytes of an item of each column of tiles."""
    width, rows = int(header["NAXIS1"]), int(header["NAXIS2"])
    if data_start + width * rows > stream.seek(0, io.SEEK_END):
        raise ValueError("the table of tiles ends behind the file")
    stream.seek(data_start)
    table = np.frombuffer(stream.read(width * rows), dtype=np.uint8).reshape(rows, width)
    found, start = [], 0
    for column in range(1, int(header["TFIELDS"]) + 1):
        form = _FORM.match(str(header[f"TFORM{column}"]).strip())
        if form is None or form[2] not in _WIDTHS:
            raise ValueError(f"TFORM{column} is {header[f'TFORM{column}']!r}")
        end = start + _WIDTHS[form[2]] * int(form[1] or 1)
        name = str(header.get(f"TTYPE{column}", "")).strip().upper()
        if name in _COLUMNS and form[2] in "PQ" and int(form[1] or 1):
            if end > width:
                raise ValueError(f"rows of {width} bytes end before column {name}")
            kind = np.dtype(">i4" if form[2] == "P" else ">i8")
            pairs = np.ascontiguousarray(table[:, start : start + 2 * kind.itemsize]).view(kind)
            found.append((name, pairs.astype(np.int64), _WIDTHS.get(form[3], 1)))
        start = end
    return found
