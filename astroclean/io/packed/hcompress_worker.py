"""Decodes HCOMPRESS tiles in a process of its own; started by `astroclean.io.packed.hcompress`.

The decoder is in C and believes what it reads: nothing tells it where a stream ends. A crash ends
this process and no other, and so does a tile that takes longer than any should. This file is run
as a script, hence imports nothing of astroclean.
"""

from __future__ import annotations

import math
import resource
import struct
import sys
import time

import numpy as np
from astropy.io.fits.hdu.compressed._compression import decompress_hcompress_1_c

REQUEST = struct.Struct("<qqqqq")
"""Bytes of the stream; sides of the tile; scale; smooth."""
ANSWER = struct.Struct("<q")
"""Bytes of the pixels, or -1 for a stream that is damaged."""
SECONDS = 2.0
"""Of processor that any tile may take."""
SECONDS_PER_PIXEL = 5e-6
"""Of processor that a large tile may take in addition."""
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


def _limit_time(pixels: int) -> None:
    """Let the system end this process where the next tile takes too long, by time of processor.

    So a busy machine cuts nothing. Whole tiles took up to 0.9 microseconds a pixel.
    """
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    limit = math.ceil(time.process_time() + SECONDS + SECONDS_PER_PIXEL * pixels)
    if most != resource.RLIM_INFINITY:
        limit = min(limit, most)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, most))


def serve() -> None:
    """Answer requests until the input ends."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(REQUEST.size)) == REQUEST.size:
        length, first, second, scale, smooth = REQUEST.unpack(head)
        stream = source.read(length)
        if len(stream) < length:
            return
        _limit_time(first * second)
        pixels = decoded(stream, (first, second), scale, smooth)
        target.write(ANSWER.pack(-1 if pixels is None else len(pixels)) + (pixels or b""))
        target.flush()


if __name__ == "__main__":
    serve()
