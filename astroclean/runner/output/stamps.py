"""Whether a file is what it was, by what the system tells of it: size, time, inode."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from astroclean.core.run_cache import file_version
from astroclean.io.resources import file_digest
from astroclean.report.model import FileStamp

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from astroclean.io.remote.store import RemoteVersion

__all__ = [
    "is_of_stamp",
    "is_same_object",
    "is_unchanged",
    "stamp_if_same",
    "stamp_of",
    "stamp_of_object",
]

_FINE = 20_000_000  # ns: a few ticks of the kernel, in which a time of change does not advance
_COARSE = 2_000_000_000  # ns: file systems that keep seconds, or (FAT) every second one
_SECOND = 1_000_000_000


def stamp_of(path: Path) -> FileStamp | None:
    """Return the stamp of a file as it is now; it is to be taken before the file is read.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    FileStamp or None
        None where there is none.
    """
    seen = time.time_ns()
    try:
        size, mtime, inode = file_version(path)
    except (OSError, ValueError):
        return None
    return FileStamp(size=size, mtime_ns=mtime, inode=inode, seen_ns=seen)


def is_unchanged(stamp: FileStamp | None, path: Path) -> bool:
    """Return whether a file is certainly what it was when it was stamped.

    One that had been changed within the resolution of its time of change, before it was stamped,
    may have been changed again without showing it: of that nothing is certain. Nor is anything
    of one with a time in the future.

    Parameters
    ----------
    stamp : FileStamp or None
        As it was.
    path : Path
        The file.
    """
    if stamp is None:
        return False
    try:
        return is_of_stamp(stamp, path.stat())
    except (OSError, ValueError):
        return False


def is_of_stamp(stamp: FileStamp, found: os.stat_result) -> bool:
    """Return the answer of :func:`is_unchanged` for what the system has told of a file.

    Parameters
    ----------
    stamp : FileStamp
        As the file was.
    found : os.stat_result
        As it is.
    """
    resolution = _FINE if stamp.mtime_ns % _SECOND else _COARSE
    if stamp.mtime_ns + resolution >= stamp.seen_ns:
        return False
    told = (found.st_size, found.st_mtime_ns, found.st_ino)
    return told == (stamp.size, stamp.mtime_ns, stamp.inode)


def stamp_if_same(path: Path, digest: str, *, largest: int | None = None) -> FileStamp | None:
    """Return the stamp of a file whose bytes have a digest, which are read; None where not.

    Parameters
    ----------
    path : Path
        The file.
    digest : str
        SHA-256 that it should have.
    largest : int, optional
        Bytes up to which it is read; nothing is said of a larger one.
    """
    stamp = stamp_of(path)
    if stamp is None or (largest is not None and stamp.size > largest):
        return None
    try:
        return stamp if file_digest(path) == digest else None
    except OSError:
        return None


def stamp_of_object(version: RemoteVersion) -> FileStamp:
    """Return the stamp of an object in a store, of the version that was fetched."""
    return FileStamp(
        size=version.size,
        mtime_ns=version.modified_ns,
        inode=0,
        seen_ns=version.seen_ns,
        etag=version.etag,
    )


def is_same_object(stamp: FileStamp | None, version: RemoteVersion | None) -> bool:
    """Return whether an object is certainly what it was when it was stamped.

    Parameters
    ----------
    stamp : FileStamp or None
        As it was.
    version : RemoteVersion or None
        What the store tells now. Without ETag, a time of change counts as for files, in seconds.
    """
    if stamp is None or version is None:
        return False
    # Some stores tell more digits in a listing than of one object.
    told = (version.size, version.modified_ns // _SECOND, version.etag)
    if told != (stamp.size, stamp.mtime_ns // _SECOND, stamp.etag):
        return False
    is_settled = stamp.mtime_ns > 0 and stamp.mtime_ns + _COARSE < stamp.seen_ns
    return bool(stamp.etag) or is_settled
