"""Files packed as a whole: gzip, bzip2, xz. They are read by content and written by suffix."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["PACKING_ERRORS", "Packer", "is_packed_name", "packed_stream", "packer_of"]

PACKING_ERRORS = (EOFError, zlib.error, lzma.LZMAError)
"""What damaged packed data raise, beside an OSError without a number."""


@dataclass(frozen=True)
class Packer:
    """One way to pack a file."""

    name: str
    magic: bytes
    """First bytes of such a file."""
    suffixes: tuple[str, ...]
    unpacked: Callable[[BinaryIO], BinaryIO]
    """Stream of packed bytes to one of plain bytes."""
    packed: Callable[[BinaryIO], BinaryIO]
    """Stream to which packed bytes go to one that takes plain bytes."""


# No name and no time in the header: the same content gives the same bytes.
_PACKERS = (
    Packer(
        "gzip",
        b"\x1f\x8b",
        (".gz", ".ftz"),
        lambda stream: cast("BinaryIO", gzip.GzipFile(fileobj=stream)),
        lambda stream: cast(
            "BinaryIO", gzip.GzipFile("", "wb", compresslevel=6, fileobj=stream, mtime=0)
        ),
    ),
    Packer(
        "bzip2",
        b"BZh",
        (".bz2",),
        lambda stream: cast("BinaryIO", bz2.BZ2File(stream)),
        lambda stream: cast("BinaryIO", bz2.BZ2File(stream, "wb")),
    ),
    Packer(
        "xz",
        b"\xfd7zXZ\x00",
        (".xz",),
        lambda stream: cast("BinaryIO", lzma.open(stream)),  # noqa: SIM115
        lambda stream: cast("BinaryIO", lzma.open(stream, "wb")),  # noqa: SIM115
    ),
)


def packer_of(stream: BinaryIO) -> Packer | None:
    """Return how the file is packed, by its first bytes; the stream stands at its beginning."""
    stream.seek(0)
    first = stream.read(max(len(packer.magic) for packer in _PACKERS))
    stream.seek(0)
    return next((packer for packer in _PACKERS if first.startswith(packer.magic)), None)


def is_packed_name(path: Path) -> bool:
    """Return whether a file is packed, by the suffix of its name."""
    suffix = path.suffix.lower()
    return any(suffix in packer.suffixes for packer in _PACKERS)


@contextlib.contextmanager
def packed_stream(path: Path, stream: BinaryIO) -> Iterator[BinaryIO]:
    """Give a stream that packs as the suffix of a path says; the given one where it says nothing.

    Parameters
    ----------
    path : Path
        Name of the file.
    stream : BinaryIO
        Where its bytes go; left open.
    """
    suffix = path.suffix.lower()
    packer = next((packer for packer in _PACKERS if suffix in packer.suffixes), None)
    if packer is None:
        yield stream
        return
    with packer.packed(stream) as packed:
        yield packed
