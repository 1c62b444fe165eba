"""Decode HCOMPRESS tiles in a process of its own, whose death is damage of the file, no more."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from astroclean.io.packed.hcompress_worker import ANSWER, REQUEST

__all__ = ["decode_hcompress"]

_DIED = "the decoder of HCOMPRESS died of a damaged tile"
_TOO_LONG = "a damaged tile that takes the decoder of HCOMPRESS too long"

_WORKER = Path(__file__).with_name("hcompress_worker.py")
_HEAD = 25
_MAGIC = b"\xdd\x99"
_MOST_PIXELS = 1 << 27  # the decoder counts the bytes of a tile, eight a pixel, in 31 bits
_MOST_SCALE = (1 << 31) - 1


class _Decoder:
    """A process that decodes; started at first use, and again after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock = threading.Lock()

    def decode(self, stream: bytes, sides: tuple[int, int], scale: int, smooth: int) -> bytes:
        request = REQUEST.pack(len(stream), *sides, scale, smooth)
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(request + stream)
                process.stdin.flush()
                head = process.stdout.read(ANSWER.size)
                length = ANSWER.unpack(head)[0] if len(head) == ANSWER.size else 0
                pixels = process.stdout.read(max(length, 0))
            except BrokenPipeError as error:
                raise ValueError(self._death()) from error
            except BaseException:
                self.close()  # what comes next from it would be no answer
                raise
            if len(head) < ANSWER.size or len(pixels) < length:
                raise ValueError(self._death())
        if length < 0:
            raise ValueError("damaged HCOMPRESS tile")
        return pixels

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self.close()
            # -P: modules are never taken from the folder of the run or of this file.
            self._process = subprocess.Popen(  # noqa: S603 - our own file
                [sys.executable, "-P", str(_WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._owner = os.getpid()
        return self._process

    def _death(self) -> str:
        """Return what the process died of, once it is gone."""
        process = self._process
        self.close()
        timed_out = process is not None and process.returncode == -signal.SIGXCPU
        return _TOO_LONG if timed_out else _DIED

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()


_DECODER = _Decoder()
atexit.register(_DECODER.close)


def decode_hcompress(stream: bytes, sides: tuple[int, int], *, scale: int, smooth: int) -> bytes:
    """Return the pixels of an HCOMPRESS tile.

    Parameters
    ----------
    stream : bytes
        As stored.
    sides : (int, int)
        (ny, nx) of the tile.
    scale, smooth : int
        Of the compression.

    Returns
    -------
    bytes
        int32, native.

    Raises
    ------
    ValueError
        The stream is damaged, or the decoder died of it.
    """
    pixels = sides[0] * sides[1]
    told = [int.from_bytes(stream[at : at + 4], "big", signed=True) for at in (2, 6)]
    if len(stream) < _HEAD or not stream.startswith(_MAGIC):
        raise ValueError("no HCOMPRESS stream")
    if min(told) < 1 or told[0] * told[1] != pixels or pixels > _MOST_PIXELS:
        raise ValueError(f"an HCOMPRESS tile of {told} pixels, not {list(sides)}")
    if abs(scale) > _MOST_SCALE:
        raise ValueError(f"an HCOMPRESS scale of {scale}")
    found = _DECODER.decode(stream, sides, scale, int(bool(smooth)))
    if len(found) != 4 * pixels:
        raise ValueError("an HCOMPRESS tile of another size")
    return found
