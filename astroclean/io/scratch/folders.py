"""A private folder of this process in the system's folder for temporary files.

The system's folder is shared by all, and what a killed process leaves there stays. So everything
temporary of astroclean lies in one folder that only this process holds: it goes when the process
ends, and the next one removes those whose process was killed.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

__all__ = ["adopt_folder", "remove_left_behind", "temporary_folder"]

_PREFIX = "astroclean-"
_own: dict[int, Path] = {}
"""Process to its folder: a forked process has none of its own."""
_held: list[int] = []


def temporary_folder() -> Path:
    """Return the folder of this process; made when it is first wanted.

    Returns
    -------
    Path
        Readable and writable by this user alone.

    Raises
    ------
    OSError
        It cannot be made.
    """
    folder = _own.get(os.getpid())
    if folder is None or not folder.is_dir():
        folder = _made()
        _own[os.getpid()] = folder
        atexit.register(_remove, folder, os.getpid())
    return folder


def adopt_folder(folder: Path) -> None:
    """Use the folder of the process that started this one, which removes it in the end."""
    _own[os.getpid()] = folder


def _made() -> Path:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        try:
            handle = _locked(folder)
        except OSError:
            # A file system without `flock`: nobody can take it for one that was left behind.
            return folder
        # Another process may have taken it for one that was left behind.
        if handle is not None and os.fstat(handle).st_nlink:
            _held.append(handle)
            return folder
        if handle is not None:
            os.close(handle)


def _locked(folder: Path) -> int | None:
    """Return a handle that holds a folder as long as its process lives; None if another has it.

    Raises
    ------
    OSError
        It is gone, or cannot be locked at all.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        os.close(handle)
        raise
    return handle


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def remove_left_behind() -> None:
    """Remove the folders of processes that were killed: ours, and held by nobody."""
    try:
        folders = list(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"))
    except OSError:
        return
    for folder in folders:
        # One that is gone meanwhile, or lies where nothing can be locked, is left alone.
        with contextlib.suppress(OSError):
            handle = _locked(folder) if _is_ours(folder) else None
            if handle is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(handle)


def _is_ours(folder: Path) -> bool:
    """Return whether a path is a private folder of this user, and no link to one."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    private = stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == stat.S_IRWXU
    return private and found.st_uid == os.getuid()
