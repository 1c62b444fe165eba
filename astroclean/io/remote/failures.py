"""What goes wrong between here and a store: what may pass is tried again, the rest becomes ours.

Each file system of fsspec has errors of its own; here they become those of astroclean.
"""

from __future__ import annotations

import errno
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from astroclean.errors import AstrocleanError, FitsReadError, FitsWriteError
from astroclean.io.remote.urls import SCHEMES, shown_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ATTEMPTS", "UnsteadyError", "is_missing", "tried"]

ATTEMPTS = 3
"""How often a transfer is tried that a lost connection or a busy server has ended."""
_PAUSES = (0.5, 2.0)  # seconds
_FORBIDDEN = (401, 403)
_MISSING = (404, 410)
_BUSY = (408, 425, 429)
_SERVER = 500
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class UnsteadyError(Exception):
    """What came is not what was told."""


def tried(url: str, work: Callable[[], Any], *, writes: bool = False) -> Any:
    """Do something that a lost connection may end, and may end well the next time.

    Parameters
    ----------
    url : str
        Of what the store is asked for.
    work : callable
        Asks it; called up to `ATTEMPTS` times.
    writes : bool
        Whether something is put or removed, for the words of an error.

    Returns
    -------
    object
        What the work returns.

    Raises
    ------
    FitsReadError, FitsWriteError
        The last that went wrong, in words.
    """
    for pause in (*_PAUSES, None):
        try:
            return work()
        except Exception as error:  # each file system has errors of its own
            cause = _cause(error)
            is_ours = isinstance(cause, OSError) and cause.errno in _NO_ROOM
            if is_ours or isinstance(cause, AstrocleanError):
                raise
            if pause is None or not _may_pass(cause):
                raise _translated(url, cause, writes=writes) from error
            time.sleep(pause)
    raise AssertionError


def _cause(error: BaseException) -> BaseException:
    """Return what is behind an error: fsspec calls all that goes wrong on the web missing files."""
    while isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    """Return the status that a server has answered with, where an error tells it."""
    for one in _chain(error):
        response = getattr(one, "response", None)
        told = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
        status = getattr(one, "status", None) or told.get("HTTPStatusCode")
        if isinstance(status, int):
            return status
    return None


def _may_pass(error: BaseException) -> bool:
    status = _status(error)
    if status is not None:
        return status >= _SERVER or status in _BUSY
    if isinstance(error, (FileNotFoundError, PermissionError, NotImplementedError, ValueError)):
        return False
    names = {kind.__name__ for kind in type(error).__mro__}
    return not names & {"NoCredentialsError", "PartialCredentialsError", "InvalidURL"}


def is_missing(error: BaseException) -> bool:
    """Return whether a store has answered that there is no such thing."""
    return isinstance(_cause(error), FileNotFoundError) or _status(error) in _MISSING


def _translated(url: str, error: BaseException, *, writes: bool) -> AstrocleanError:
    kind: type[AstrocleanError] = FitsWriteError if writes else FitsReadError
    done, may = ("put or removed", "written") if writes else ("fetched", "read")
    where = shown_url(url)
    names = {kind.__name__ for kind in type(error).__mro__}
    if is_missing(error):
        return kind("there is no such object or bucket", where=where, remedy="Check it.")
    credentials = any("Credential" in name for name in names)
    if isinstance(error, PermissionError) or _status(error) in _FORBIDDEN or credentials:
        return kind(
            "there are no credentials" if credentials else f"may not be {may}: no permission",
            where=where,
            remedy="Set credentials in the environment or a profile, as fsspec and the "
            f"{SCHEMES[urlsplit(url).scheme.lower()]} package read them.",
        )
    problem = f"cannot be {done}: {_told(error)}"
    if _may_pass(error):
        problem = f"cannot be {done}, tried {ATTEMPTS} times: {_told(error)}"
    return kind(problem, where=where, remedy="Check the connection, and run again.")


def _told(error: BaseException) -> str:
    """Return what an error says, without queries: where a redirect leads may be signed."""
    text = re.sub(r"\?[^\s'\"<>)]+", "?...", str(error)).strip()
    text = re.sub(r"://[^/\s@]+@", "://", text)
    return f"{type(error).__name__.removeprefix('_')}: {text}" if text else type(error).__name__
