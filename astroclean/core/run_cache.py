"""What a process may remember as long as a run lasts, and no longer.

A file that options name may change between two runs, and a worker may live through many. So what
was read from files is remembered either by its content (size, time and digest are part of the key
of the cache), or here: all of it is dropped when the first call of another run comes in.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["begin_run", "cached_for_run", "file_version"]

Function = TypeVar("Function", bound="Callable[..., Any]")

_caches: list[Any] = []
_run: list[str] = [""]


def cached_for_run(*, maxsize: int) -> Callable[[Function], Function]:
    """Return a decorator: as ``functools.lru_cache``, emptied when another run begins.

    Plugins that read files use it for what they remember in a module.

    Parameters
    ----------
    maxsize : int
        Answers that are remembered.

    Returns
    -------
    callable
        The decorator.
    """

    def remembered(function: Function) -> Function:
        cached: Any = functools.lru_cache(maxsize=maxsize)(function)
        _caches.append(cached)
        return cached  # type: ignore[no-any-return]

    return remembered


def begin_run(run: str) -> None:
    """Forget what was remembered for another run than this one.

    Parameters
    ----------
    run : str
        Name that no other run has.
    """
    if run == _run[0]:
        return
    for cached in _caches:
        cached.cache_clear()
    _run[0] = run


def file_version(path: Path) -> tuple[int, int, int]:
    """Return size in bytes, time of change in ns, and inode: another content has others.

    Parameters
    ----------
    path : Path
        An existing file.

    Returns
    -------
    (int, int, int)
        As the system tells them; no byte of the file is read.

    Raises
    ------
    OSError
        There is no such file.
    """
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino
