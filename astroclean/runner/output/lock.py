"""Who may write to an output folder: one whole run, or the shards of one, each once.

A whole run holds the folder alone. Shards share it, and each holds a lock of its own. The kernel's
lock (``flock``) goes with the process that has it, however it dies. A file system may refuse it,
such as NFS without its lock service; then files that are there as long as a run lasts take its
place (`filelock.SoftFileLock`). One that a killed run left is known by its process, on the machine
where that ran; on another it has to be removed by hand.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import TYPE_CHECKING

from astroclean.errors import OutputError
from astroclean.io.products.names import OWN_FOLDER
from astroclean.io.scratch.arrays import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from astroclean.runner.plan.shard import Shard

__all__ = ["folder_lock", "lock_files"]

_REFUSED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
"""What a file system without ``flock`` answers."""
_LARGEST = 4096  # bytes
_HELD = {errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK}
_PATIENCE = 10.0  # seconds; shards hold the gate for a moment, but there may be hundreds


def lock_files(own: Path, shard: Shard | None) -> tuple[Path, ...]:
    """Return the files that the kernel's locks are on.

    Parameters
    ----------
    own : Path
        ``.astroclean`` of the output folder.
    shard : Shard or None
        None for a whole run.
    """
    whole = own / "lock"
    return (whole,) if shard is None else (whole, own / "shards" / f"{shard.file_stem}.lock")


@contextlib.contextmanager
def folder_lock(own: Path, shard: Shard | None) -> Iterator[list[str]]:
    """Hold an output folder for a run.

    Parameters
    ----------
    own : Path
        ``.astroclean`` of the output folder, with the folder ``shards``.
    shard : Shard or None
        None for a whole run, which shares the folder with nobody.

    Yields
    ------
    list of str
        What is to be said of the lock.

    Raises
    ------
    OutputError
        Somebody else holds it, or it cannot be held at all.
    """
    with contextlib.ExitStack() as held:
        refusal = None
        files = lock_files(own, shard)
        for file in files:
            shared = shard is not None and file == files[0]
            refusal = refusal or _kernel_lock(file, held, shared=shared, shard=shard)
        if refusal is None:
            # Another machine may have been refused the kernel's lock on the same folder.
            _check_soft_locks(own, shard)
            yield []
            return
        held.enter_context(_soft_lock(own, shard))
        told = f"{own.parent}: this file system refuses locks (flock: {refusal}); files in "
        told += f"{own.name} take their place. They hold off runs that find the same refusal, and "
        yield [told + "one that a killed machine leaves must be removed by hand"]


def _kernel_lock(
    file: Path, held: contextlib.ExitStack, *, shared: bool, shard: Shard | None
) -> str | None:
    """Take the kernel's lock of a file; return why the file system has none, or None."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(file, flags, 0o666)
    except OSError as error:
        raise _unusable(file, error) from error
    held.callback(os.close, handle)
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _REFUSED:
            return error.strerror or str(error)
        if error.errno not in _HELD:
            raise _unusable(file, error) from error
        raise _held_by_another(file, shard, is_own=not shared) from error
    return None


def _unusable(file: Path, error: OSError) -> OutputError:
    problem = f"output folder cannot be used: {error.strerror}"
    return OutputError(problem, where=str(file), remedy="Name another with -o.")


def _held_by_another(file: Path, shard: Shard | None, *, is_own: bool, by: str = "") -> OutputError:
    """Return what is said of a lock that somebody has."""
    if shard is None:
        problem = "another run is writing here, or shards of one are"
    elif is_own:
        problem = f"another run of shard {shard} is writing here"
    else:
        problem = "another run is writing here, a whole one: shards share a folder with shards only"
    remedy = "Wait for it, or name another folder with -o."
    if by:
        remedy += f" If nothing runs there any more, remove {file}."
    own = next(parent for parent in file.parents if parent.name == OWN_FOLDER)
    return OutputError(problem, where=str(own.parent), received=by or None, remedy=remedy)


def _soft_files(own: Path, shard: Shard | None) -> tuple[Path, list[Path]]:
    """Return the file of whole runs, and those of shards that matter to a run.

    All are in one folder: whoever has made a file in it sees the others, on network file systems,
    too.
    """
    folder = own / "shards"
    if shard is None:
        return folder / "whole.soft", sorted(folder.glob("*-of-*.soft"))
    return folder / "whole.soft", [folder / f"{shard.file_stem}.soft"]


def _check_soft_locks(own: Path, shard: Shard | None) -> None:
    """Refuse where somebody holds the folder by a file."""
    gate, of_shards = _soft_files(own, shard)
    for path in (gate, *of_shards):
        if os.path.lexists(path):
            with _soft(path, shard, is_own=path != gate, patience=_PATIENCE):
                pass


@contextlib.contextmanager
def _soft_lock(own: Path, shard: Shard | None) -> Iterator[None]:
    """Hold the folder by files, for a whole run or for a shard."""
    gate, _ = _soft_files(own, shard)
    with contextlib.ExitStack() as held:
        with _soft(gate, shard, is_own=False, patience=_PATIENCE):
            # No shard begins while the gate is held; those that have begun have their file.
            for path in _soft_files(own, shard)[1]:
                file = _soft(path, shard, is_own=True)
                if shard is not None:
                    held.enter_context(file)
                    continue
                with file:
                    pass
            if shard is None:
                yield
        if shard is not None:
            yield


@contextlib.contextmanager
def _soft(path: Path, shard: Shard | None, *, is_own: bool, patience: float = 0) -> Iterator[None]:
    """Hold a file that is there as long as the context lasts."""
    from filelock import SoftFileLock, Timeout  # noqa: PLC0415 - where `flock` is refused only

    lock = SoftFileLock(path, timeout=patience)
    try:
        lock.acquire()
    except Timeout as error:
        raise _held_by_another(path, shard, is_own=is_own, by=_holder(path)) from error
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    """Return who left a soft lock, as it tells: process and machine."""
    try:
        with open_regular(path) as stream:
            process, host = stream.read(_LARGEST).decode("utf-8").split("\n")[:2]
    except (OSError, ValueError):
        return f"{path.name} of an unknown process"
    return f"{path.name} of process {process} on {host}"
