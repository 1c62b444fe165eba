"""Decodes HCOMPRESS tiles in a process of its own; started by `astroclean.io.hcompress`.

The decoder is in C and believes what it reads: nothing tells it where a stream ends. A crash ends
this process and no other. This file is run as a script, hence imports nothing of astroclean.
"""

from __future__ import annotations

import struct
import sys

import numpy as np
from astropy.io.fits.hdu.compressed._compression import decompress_hcompress_1_c

REQUEST = struct.Struct("<qqqqq")
"""Bytes of the stream; sides of the tile; scale; smooth."""
ANSWER = struct.Struct("<q")
"""Bytes of the pixels, or -1 for a stream that is damaged."""
_BYTEPIX = 8
_BITPLANES = slice(22, 25)  # numbers of bit planes, behind magic, sides, scale and sum
_PLANES = 64
_LEAST = 64
_FILLINGS = (0x00, 0xFF)


def decoded(stream: bytes, sides: tuple[int, int], scale: int, smooth: int) -> bytes | None:
    """Return the pixels of a tile; None where its stream is damaged.

    A stream that ends too early reads on into what stands behind it. So it is decoded with two
    fillings behind it, and is whole only where both give the same pixels.
    """
    if len(stream) <= _BITPLANES.stop or max(stream[_BITPLANES]) > _PLANES:
        return None
    planes = sum(stream[_BITPLANES]) + 1
    # A bit plane takes at most two bytes of code for each two by two pixels, signs take one bit.
    room = _LEAST + 2 * planes * (sides[0] + 2) * (sides[1] + 2)
    results = set()
    for filling in _FILLINGS:
        buffer = np.full(len(stream) + room, filling, dtype=np.uint8)
        buffer[: len(stream)] = np.frombuffer(stream, dtype=np.uint8)
        try:
            results.add(
                decompress_hcompress_1_c(buffer[: len(stream)], *sides, scale, smooth, _BYTEPIX)
            )
        except Exception:  # noqa: BLE001 - of several types, all of them damage
            return None
    return results.pop() if len(results) == 1 else None


def serve() -> None:
    """Answer requests until the input ends."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(REQUEST.size)) == REQUEST.size:
        length, first, second, scale, smooth = REQUEST.unpack(head)
        stream = source.read(length)
        if len(stream) < length:
            return
        pixels = decoded(stream, (first, second), scale, smooth)
        target.write(ANSWER.pack(-1 if pixels is None else len(pixels)) + (pixels or b""))
        target.flush()


if __name__ == "__main__":
    serve()
