"""Open regular files only: a FIFO would wait for ever, a device never ends."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import io

__all__ = [
    "RealPaths",
    "is_there",
    "kind_of_mode",
    "kind_of_special",
    "open_regular",
    "read_text",
    "user_path",
]

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def kind_of_mode(mode: int) -> str | None:
    """Return what a mode of the system tells that is no regular file, in words; None for one."""
    if stat.S_ISREG(mode):
        return None
    return next((name for is_it, name in _KINDS if is_it(mode)), "something else")


def kind_of_special(path: Path) -> str | None:
    """Return what stands at a path that is no regular file, in words.

    Parameters
    ----------
    path : Path
        Symbolic links are followed.

    Returns
    -------
    str or None
        None for a regular file, and where there is nothing.
    """
    try:
        return kind_of_mode(path.stat().st_mode)
    except (OSError, ValueError):
        return None


def user_path(text: str | Path) -> Path:
    """Return a path with the user's home for ``~``; as it is where there is no such user."""
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError:  # `~x.fits` may be the name of a file
        return path


class RealPaths:
    """Real paths of many files, of few folders: each folder is looked at once."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def of(self, path: str | Path) -> str:
        """Return the absolute path without symbolic links, as ``os.path.realpath`` does.

        Parameters
        ----------
        path : str or Path
            It need not be there. One that no file can have is given as an absolute path.
        """
        text = os.fspath(path)
        folder, name = os.path.split(text)
        try:
            if name in {"", ".", ".."} or os.path.islink(text):  # noqa: PTH114 - as text
                return os.path.realpath(text)
            if folder not in self._folders:
                self._folders[folder] = os.path.realpath(folder)
        except ValueError:  # a NUL
            return os.path.abspath(text)  # noqa: PTH100 - links keep their names
        return os.path.join(self._folders[folder], name)  # noqa: PTH118 - as text


def is_there(path: Path) -> bool:
    """Return whether a path leads to something; a name that no file can have leads to nothing."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file for reading, without waiting.

    Parameters
    ----------
    path : Path
        Symbolic links are followed.

    Returns
    -------
    io.BufferedReader
        Open file.

    Raises
    ------
    OSError
        It cannot be opened, its name cannot be that of a file, or it is no regular file;
        ``strerror`` tells which.
    """
    try:
        # Without O_NONBLOCK, the opening of a FIFO waits until somebody writes to it.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    except ValueError as error:  # a NUL in the name
        raise OSError(errno.EINVAL, "no name of a file") from error
    kind = kind_of_mode(os.fstat(handle).st_mode)
    if kind is not None:
        os.close(handle)
        raise OSError(errno.EINVAL, f"{kind}, not a regular file")
    return os.fdopen(handle, "rb")


_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def read_text(path: Path, *, limit: int, strict: bool = True) -> str:
    """Read a text file in UTF-8.

    Parameters
    ----------
    path : Path
        A regular file.
    limit : int
        Largest size in bytes.
    strict : bool
        Whether bytes that are no UTF-8 are an error; otherwise they become surrogates, as in names
        of files.

    Returns
    -------
    str
        Its text.

    Raises
    ------
    OSError
        As for :func:`open_regular`, or the file is larger.
    UnicodeDecodeError
        It is not UTF-8.
    """
    with open_regular(path) as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit >> 20} MiB")
    return content.decode("utf-8", "strict" if strict else "surrogateescape")
