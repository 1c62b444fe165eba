"""Tile-compressed images made strip by strip, so that no image must be in memory as a whole.

astropy compresses whole images. Tiles do not know of each other, so a strip of whole tiles, made by
astropy, holds just the table rows and the heap that the whole image has there.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from astropy.io import fits

from astroclean.io.fits.blocks import (
    BLOCK,
    card,
    joined_cards,
    keyword_of,
    replaced,
    split_hdu,
    summed_cards,
)
from astroclean.io.fits.encode import encode_hdu, packed_image

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

__all__ = ["PackedForm", "repacked_cards", "scratch_stream", "write_data", "write_packed"]

# Cards of the table that holds a compressed image, and of how it was compressed.
_PACKING = re.compile(
    r"XTENSION|BITPIX|NAXIS\d*|[PG]COUNT|TFIELDS|THEAP|T(TYPE|FORM|UNIT)\d+|ZIMAGE|ZBITPIX"
    r"|ZNAXIS\d*|ZTILE\d+|ZCMPTYPE|Z(NAME|VAL)\d+|ZQUANTIZ|ZDITHER0|Z(SCALE|ZERO|BLANK)|ZMASKCMP"
    r"|ZHECKSUM|ZDATASUM"
)
_PAIR = 8  # bytes of a table row: length and offset of a tile, 32 bits each
_WIDE_IMAGE = 1 << 32  # bytes above which astropy writes 64 bits
_WIDE_HEAP = 1 << 31
_IN_MEMORY = 64 << 20
_CHUNK = BLOCK << 10


@dataclass(frozen=True)
class PackedForm:
    """How an image is compressed."""

    shape: tuple[int, ...]
    """(..., ny, nx) of the image."""
    dtype: np.dtype[Any]
    header: fits.Header = field(default_factory=fits.Header)
    """Further cards."""
    name: str | None = None
    """EXTNAME."""
    tile: tuple[int, ...] | None = None
    """Shape of a tile; rows where none is told."""

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """Shape of a tile."""
        return self.tile or (*(1,) * (len(self.shape) - 1), self.shape[-1])

    def strips(self, rows: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        """Join blocks of rows to strips of whole tiles, in their order in the table.

        Parameters
        ----------
        rows : iterable of (n, nx) array
            All rows of all planes; no block holds rows of two planes.
        """
        *leading, height, _ = self.tile_shape
        ny, nx = self.shape[-2:]
        # A tile of several planes needs them all.
        whole = max(leading, default=1) > 1
        step = int(np.prod(self.shape[:-1])) if whole else height
        pending: list[NDArray[Any]] = []
        waiting = done = 0
        for block in rows:
            pending.append(block)
            waiting += len(block)
            ends_plane = not whole and (done + waiting) % ny == 0
            ready = waiting if ends_plane else waiting // step * step
            if ready:
                joined = np.concatenate(pending) if len(pending) > 1 else pending[0]
                yield joined[:ready].reshape(self.shape if whole else (ready, nx))
                done, waiting = done + ready, waiting - ready
                pending = [joined[ready:]] if waiting else []

    def encoded(self, strip: NDArray[Any]) -> tuple[list[bytes], bytes]:
        """Return cards and data of a strip as an image of its own."""
        tile = self.tile_shape[-strip.ndim :]
        native = strip.astype(strip.dtype.newbyteorder("="), copy=False)
        return split_hdu(encode_hdu(packed_image(native, self.header, name=self.name, tile=tile)))

    def cards(self, table: _Table) -> list[bytes]:
        """Return the cards of the whole image."""
        small = np.zeros((1,) * len(self.shape), dtype=self.dtype)
        image = packed_image(small, self.header, name=self.name, tile=small.shape)
        cards, _ = split_hdu(encode_hdu(image))
        values: dict[str, Any] = {
            "NAXIS1": table.pair,
            "NAXIS2": table.rows,
            "PCOUNT": table.heap,
            "TFORM1": f"1{'Q' if table.is_wide else 'P'}B({table.longest})",
        }
        axes = zip(reversed(self.shape), reversed(self.tile_shape), strict=True)
        for axis, (length, tile) in enumerate(axes, 1):
            values |= {f"ZNAXIS{axis}": length, f"ZTILE{axis}": tile}
        for raw in cards:
            keyword = keyword_of(raw)
            if keyword in values:
                comment = fits.Card.fromstring(raw).comment
                cards = replaced(cards, card(keyword, values[keyword], comment))
        return cards


@dataclass
class _Table:
    """Length and offset of each tile."""

    nbytes: int
    """Of the whole image, unpacked."""
    parts: list[NDArray[np.int64]] = field(default_factory=list)
    heap: int = 0
    longest: int = 0
    rows: int = 0

    def add(self, pairs: NDArray[np.int64], heap: int) -> None:
        """Append the tiles of a strip whose heap has so many bytes."""
        self.parts.append(pairs + np.array([0, self.heap]))
        self.heap += heap
        self.rows += len(pairs)
        self.longest = max(self.longest, int(pairs[:, 0].max()))

    @property
    def is_wide(self) -> bool:
        """Whether offsets take 64 bits."""
        return self.nbytes > _WIDE_IMAGE or self.heap >= _WIDE_HEAP

    @property
    def pair(self) -> int:
        """Bytes of a row."""
        return 2 * _PAIR if self.is_wide else _PAIR

    def tobytes(self) -> bytes:
        """Return the rows as FITS stores them."""
        kind = ">i8" if self.is_wide else ">i4"
        return b"".join(part.astype(kind).tobytes() for part in self.parts)


def write_packed(
    form: PackedForm,
    rows: Iterable[NDArray[Any]],
    target: BinaryIO,
    *,
    stored: list[bytes] | None = None,
    summed: bool = False,
) -> None:
    """Write a tile-compressed image, bit for bit as astropy compresses it in one piece.

    Parameters
    ----------
    form : PackedForm
        How.
    rows : iterable of (n, nx) array
        All rows of all planes, in blocks of any height.
    target : BinaryIO
        Where to write.
    stored : list of bytes, optional
        Cards of the image in the input; they stay, but for those of the compression.
    summed : bool
        Whether the HDU gets CHECKSUM and DATASUM.
    """
    table = _Table(int(np.prod(form.shape)) * form.dtype.itemsize)
    with scratch_stream() as heap, scratch_stream() as data:
        for strip in form.strips(rows):
            cards, content = form.encoded(strip)
            header = fits.Header.fromstring(b"".join(cards))
            begin = header["NAXIS1"] * header["NAXIS2"]
            pairs = np.frombuffer(content[:begin], dtype=">i4").reshape(-1, 2).astype(np.int64)
            table.add(pairs, header["PCOUNT"])
            heap.write(content[begin : begin + header["PCOUNT"]])
        data.write(table.tobytes())
        heap.seek(0)
        shutil.copyfileobj(heap, data, _CHUNK)
        made = form.cards(table)
        write_data(repacked_cards(stored, made) if stored else made, data, target, summed=summed)


@contextmanager
def scratch_stream() -> Iterator[BinaryIO]:
    """Give a stream that goes to disk where it grows large."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as stream:
        yield cast("BinaryIO", stream)


def write_data(cards: list[bytes], data: BinaryIO, target: BinaryIO, *, summed: bool) -> None:
    """Write a header and the data that ``data`` holds, padded to whole blocks.

    Parameters
    ----------
    cards : list of bytes
        The header.
    data : BinaryIO
        Where it stands is where the data end.
    target : BinaryIO
        Where to write.
    summed : bool
        Whether the HDU gets CHECKSUM and DATASUM.
    """
    data.write(b"\0" * (-data.tell() % BLOCK))
    if summed:
        data.seek(0)
        cards = summed_cards(cards, iter(lambda: data.read(_CHUNK), b""))
    target.write(joined_cards(cards))
    data.seek(0)
    shutil.copyfileobj(data, target, _CHUNK)


def repacked_cards(stored: list[bytes], made: list[bytes]) -> list[bytes]:
    """Return the cards of the input beside those of the compression."""
    # CFITSIO wants these first: they tell whether the image was a primary or an extension.
    first = [c for c in stored if keyword_of(c) in {"ZSIMPLE", "ZTENSION"}]
    packing = []
    for made_card in made:
        keyword = keyword_of(made_card)
        if keyword == "ZTENSION":
            packing += first
        elif _PACKING.fullmatch(keyword):
            packing.append(made_card)
    kept = [c for c in stored if c not in first and not _PACKING.fullmatch(keyword_of(c))]
    return packing + kept
