"""Write a file so that it is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from astroclean.errors import FitsWriteError
from astroclean.io.packed.packers import packed_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["atomic_file", "atomic_text"]


@contextlib.contextmanager
def atomic_file(path: Path, *, scratch: Path | None = None) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only when all of it has been written.

    Parameters
    ----------
    path : Path
        Final name. ``.gz``, ``.ftz``, ``.bz2`` and ``.xz`` are packed, without time or name.
    scratch : Path, optional
        Folder on the same file system for the unfinished file; by default that of ``path``.

    Yields
    ------
    BinaryIO
        Where to write.

    Raises
    ------
    FitsWriteError
        The folder is missing or not writable, or the disk is full. Nothing is left behind.
    """
    unfinished: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=".unfinished-", dir=scratch or path.parent)
        unfinished = Path(name)
        with os.fdopen(handle, "wb") as stream:
            with packed_stream(path, stream) as packed:
                yield packed
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.chmod(0o666 & ~_umask())
        unfinished.replace(path)
    except OSError as error:
        raise FitsWriteError(
            f"cannot be written: {error.strerror or error}",
            where=str(path),
            remedy="Check that the folder exists, is writable and has room.",
        ) from error
    finally:
        if unfinished is not None:
            unfinished.unlink(missing_ok=True)


def atomic_text(path: Path, text: str, *, scratch: Path | None = None) -> None:
    """Write a text file, whole or not at all; see :func:`atomic_file`."""
    with atomic_file(path, scratch=scratch) as stream:
        stream.write(text.encode("utf-8"))


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
