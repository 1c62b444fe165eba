"""Unpack files as a stream: into memory while they are small, then onto scratch disk."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from astroclean.errors import FitsReadError
from astroclean.io.fits.limits import walk_hdus
from astroclean.io.scratch.folders import temporary_folder

if TYPE_CHECKING:
    import contextlib

__all__ = ["UNPACKED_LIMIT", "Seeker", "unpacked_limit", "unpacked_stream"]

UNPACKED_LIMIT = 16 << 30
"""Bytes that a packed file may hold, without ``ASTROCLEAN_MAX_UNPACKED``."""
_IN_MEMORY = 64 << 20
_BEHIND = 64 << 20  # bytes behind the last HDU that are looked at
_CHUNK = 1 << 22
_GIB = 1 << 30


def unpacked_limit() -> int:
    """Return how many bytes a packed file may hold."""
    told = os.environ.get("ASTROCLEAN_MAX_UNPACKED", "")
    return int(told) if told.isdecimal() and told.isascii() else UNPACKED_LIMIT


class Seeker:
    """An open file, walked by seeking."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._length = stream.seek(0, io.SEEK_END)
        stream.seek(0)

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        return self._stream.read(size)

    def skip(self, size: int) -> int:
        """Pass over bytes; return how many there were."""
        place = self._stream.tell()
        end = min(place + size, self._length)
        self._stream.seek(end)
        return end - place


class _Unpacker:
    """A stream that keeps what was read from it."""

    def __init__(self, plain: BinaryIO, stack: contextlib.ExitStack) -> None:
        self._plain = plain
        self._stack = stack
        self.kept: BinaryIO = io.BytesIO()
        self.path: Path | None = None
        """Of the scratch file; None while all is in memory."""
        self._length = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        part = self._plain.read(size)
        self._length += len(part)
        if self.path is None and self._length > _IN_MEMORY:
            self._to_disk()
        self.kept.write(part)
        return part

    def skip(self, size: int) -> int:
        """Keep bytes; return how many there were."""
        left = size
        while left > 0:
            part = self.read(min(left, _CHUNK))
            if not part:
                break
            left -= len(part)
        return size - left

    def _to_disk(self) -> None:
        scratch = self._stack.enter_context(
            tempfile.NamedTemporaryFile(suffix=".fits", dir=temporary_folder())  # noqa: SIM115
        )
        memory = cast("io.BytesIO", self.kept)
        scratch.write(memory.getbuffer())
        self.kept, self.path = cast("BinaryIO", scratch), Path(scratch.name)


def unpacked_stream(
    plain: BinaryIO, where: str, stack: contextlib.ExitStack, notes: list[str]
) -> tuple[BinaryIO, Path | None]:
    """Unpack a FITS file within limits.

    The headers are read while it is unpacked: what they ask for is held against the limit and the
    room on scratch disk before their data are unpacked.

    Parameters
    ----------
    plain : BinaryIO
        Gives unpacked bytes.
    where : str
        The file, for messages.
    stack : ExitStack
        Removes the scratch file.
    notes : list of str
        Gets a note where bytes behind the last HDU are left.

    Returns
    -------
    (BinaryIO, Path or None)
        The file, in memory or on scratch disk, and its path there.

    Raises
    ------
    FitsReadError
        It unpacks to more than is allowed or fits on scratch disk, or as :func:`walk_hdus`.
    """
    unpacker = _Unpacker(plain, stack)
    limit = unpacked_limit()

    def refuse(end: int) -> None:
        if end > limit:
            raise FitsReadError(
                f"unpacks to {end / _GIB:.1f} GiB, more than the limit of {limit / _GIB:.1f} GiB",
                where=where,
                remedy="Unpack it by hand, or set ASTROCLEAN_MAX_UNPACKED to more bytes.",
            )
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if end > _IN_MEMORY and end > free:
            raise FitsReadError(
                f"unpacks to {end / _GIB:.1f} GiB, but scratch has room for {free / _GIB:.1f} GiB",
                where=where,
                remedy="Set TMPDIR to a folder with room, or unpack the file there.",
            )

    walk_hdus(unpacker, where=where, before=refuse)
    unpacker.skip(_BEHIND)  # also lets the packing check its sum
    if plain.read(1):
        notes.append(f"more than {_BEHIND >> 20} MiB behind the last HDU are ignored")
    if unpacker.path is None:
        unpacker.kept.seek(0)
        return unpacker.kept, None
    unpacker.kept.flush()
    return stack.enter_context(unpacker.path.open("rb")), unpacker.path
