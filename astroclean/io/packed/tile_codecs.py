"""Decoders of compressed tiles that believe nothing: lengths are checked before C code is called.

astropy gives CFITSIO's decoders a stream without room behind it and numbers of the header as they
are. These take their place while astroclean reads pixels. Whole tiles give the same pixels.
"""

from __future__ import annotations

import contextlib
import threading
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io.fits.hdu.compressed import _tiled_compression
from astropy.io.fits.hdu.compressed._codecs import PLIO1, Gzip1, Gzip2, HCompress1, Rice1
from astropy.io.fits.hdu.compressed._compression import decompress_plio_1_c, decompress_rice_1_c

from astroclean.io.packed.hcompress import decode_hcompress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["checked_codecs"]

_RICE_BYTES = (1, 2, 4)
_MOST_BLOCK = 4096  # pixels of a RICE block; 16 or 32 in practice
_MOST_BYTES = (1 << 31) - 1  # the decoders count in 31 bits
_GZIP = 16 + zlib.MAX_WBITS
_LONGEST_PIXEL = 8  # bytes
_PLIO_HEAD = 7  # words
_PLIO_LENGTH = 2
_PLIO_PAIR = 1  # the code that takes the word behind it

_limit = threading.local()


def _bytes(buf: Any) -> bytes:
    content = np.asarray(buf)
    native = content.astype(content.dtype.newbyteorder("="), copy=False)
    return np.frombuffer(native, dtype=np.uint8).tobytes()


def _with_room(content: bytes, room: int, filling: int) -> NDArray[np.uint8]:
    """Return a stream with memory of our own behind it, into which a decoder may read."""
    buffer = np.full(len(content) + room, filling, dtype=np.uint8)
    buffer[: len(content)] = np.frombuffer(content, dtype=np.uint8)
    return buffer[: len(content)]


def _check_room(size: int) -> None:
    if not 0 < size <= _MOST_BYTES:
        raise ValueError(f"a tile of {size} bytes")
    np.empty(size, dtype=np.uint8)  # the decoders do not look whether they get their memory


class _Rice(Rice1):  # type: ignore[misc]
    def decode(self, buf: Any) -> Any:
        if self.bytepix not in _RICE_BYTES or not 1 <= self.blocksize <= _MOST_BLOCK:
            raise ValueError(f"RICE with {self.bytepix} bytes and blocks of {self.blocksize}")
        _check_room(self.tilesize * self.bytepix)
        # A block is read to its end before its length is checked. Ones end any run of zeros.
        stream = _with_room(_bytes(buf), 64 + 8 * self.blocksize, 0xFF)
        pixels = decompress_rice_1_c(stream, self.blocksize, self.bytepix, self.tilesize)
        return np.frombuffer(pixels, dtype=f"i{self.bytepix}")


class _Plio(PLIO1):  # type: ignore[misc]
    def decode(self, buf: Any) -> Any:
        _check_room(4 * self.tilesize)
        content = _bytes(buf)
        _check_plio(np.frombuffer(content[: len(content) // 2 * 2], dtype=np.int16))
        return np.frombuffer(decompress_plio_1_c(content, self.tilesize), dtype="i4")


def _check_plio(words: NDArray[np.int16]) -> None:
    """Refuse a list of runs that ends behind its stream, or has no end."""
    # IRAF's older form has the length where the newer has a number below zero.
    if len(words) > _PLIO_LENGTH and words[_PLIO_LENGTH] > 0:
        last, first = int(words[_PLIO_LENGTH]), _PLIO_LENGTH + 1
    elif len(words) >= _PLIO_HEAD:
        last, first = (int(words[4]) << 15) + int(words[3]), int(words[1])
    else:
        raise ValueError("a PLIO stream without a head")
    if not _PLIO_LENGTH < first <= last <= len(words):
        raise ValueError(f"a PLIO list of words {first} to {last} in a stream of {len(words)}")
    if last == len(words) and words[-1] // 4096 == _PLIO_PAIR:
        raise ValueError("a PLIO list that ends within a pair of words")


class _Gzip(Gzip1):  # type: ignore[misc]
    def decode(self, buf: Any) -> Any:
        return np.frombuffer(_unzipped(_bytes_as_stored(buf)), dtype=np.uint8)


class _ShuffledGzip(Gzip2):  # type: ignore[misc]
    def decode(self, buf: Any) -> Any:
        content = np.frombuffer(_unzipped(_bytes_as_stored(buf)), dtype=np.uint8)
        return content.reshape((self.itemsize, -1)).T.ravel()


def _bytes_as_stored(buf: Any) -> bytes:
    return np.frombuffer(buf, dtype=np.uint8).tobytes()


def _unzipped(content: bytes) -> bytes:
    """Unpack a gzip stream to no more than the pixels of a tile."""
    unpacker = zlib.decompressobj(_GZIP)
    most = _limit.pixels * _LONGEST_PIXEL
    found = unpacker.decompress(content, most + 1)
    if len(found) > most or not unpacker.eof:
        raise ValueError("a gzip tile that is cut short, or longer than its pixels")
    return found


class _HCompress(HCompress1):  # type: ignore[misc]
    def decode(self, buf: Any) -> Any:
        settings = {"scale": self.scale, "smooth": self.smooth}
        pixels = decode_hcompress(_bytes(buf), (self.nx, self.ny), **settings)
        return np.frombuffer(pixels, dtype="i4")


_CHECKED = {
    "GZIP_1": _Gzip,
    "GZIP_2": _ShuffledGzip,
    "RICE_1": _Rice,
    "RICE_ONE": _Rice,
    "PLIO_1": _Plio,
    "HCOMPRESS_1": _HCompress,
}
_lock = threading.RLock()


@contextlib.contextmanager
def checked_codecs(hdu: Any) -> Iterator[None]:
    """Let astropy decode the tiles of an image by decoders that check, while the context is open.

    Parameters
    ----------
    hdu : astropy.io.fits HDU
        Image that is read; nothing is done for one without tiles.
    """
    tiles = getattr(hdu, "tile_shape", None)
    if tiles is None:
        yield
        return
    # A table of astropy's for the whole process: one reads at a time, and it is put back.
    with _lock:
        before = dict(_tiled_compression.ALGORITHMS)
        _limit.pixels = int(np.prod([int(n) for n in tiles], dtype=object))
        _tiled_compression.ALGORITHMS.update(_CHECKED)
        try:
            yield
        finally:
            _tiled_compression.ALGORITHMS.update(before)
