"""Object stores and web servers through fsspec: what is there, in which version, and its bytes.

fsspec and its file systems are imported when the first URL is met. Their errors, of a different
type for each store, become ours here. Credentials are their own business: they read them from the
environment or from profiles.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from astroclean.core.run_cache import cached_for_run
from astroclean.errors import AstrocleanError, ConfigurationError, FitsReadError
from astroclean.io.remote.urls import SCHEMES, check_url, is_web, shown_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["ATTEMPTS", "RemoteVersion", "Store", "store_of"]

ATTEMPTS = 3
"""How often a transfer is tried that a lost connection or a busy server has ended."""
_PAUSES = (0.5, 2.0)  # seconds
_SILENCE = 60.0  # seconds without a byte after which a connection counts as lost
_FORBIDDEN = (401, 403)
_MISSING = (404, 410)
_BUSY = (408, 425, 429)
_SERVER = 500
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class RemoteVersion:
    """What a store tells of an object without a byte of it being read."""

    size: int = -1
    """Bytes; -1 where it is not told."""
    etag: str = ""
    """As the store gives it; empty where it gives none, or one that does not mean bytes."""
    modified_ns: int = 0
    """Time of the last change; 0 where it is not told."""
    seen_ns: int = field(default=0, compare=False)
    """When the store was asked, before the bytes were; 0 where they were not."""


class Store:
    """A store or server, as one of its URLs names it.

    Parameters
    ----------
    url : str
        Checked: `astroclean.io.remote.urls.check_url`.

    Raises
    ------
    ConfigurationError
        The URL cannot be used, or a package is missing.
    """

    def __init__(self, url: str) -> None:
        check_url(url)
        self.scheme = urlsplit(url).scheme.lower()
        self._system = _file_system(self.scheme, os.getpid())

    def version(self, url: str) -> RemoteVersion:
        """Return the version of an object that is there now.

        Raises
        ------
        FitsReadError
            There is none, or the store does not tell.
        """
        return _version(self.info(url))

    def info(self, url: str) -> dict[str, Any]:
        """Return what the store tells of an object, or of a folder (``type``)."""
        told: dict[str, Any] = _tried(url, lambda: self._system.info(url))
        return told

    def listed(self, url: str) -> list[tuple[str, RemoteVersion]]:
        """Return the objects directly below a folder, sorted, with their versions."""
        found = _tried(url, lambda: self._system.ls(url, detail=True))
        return self._files(found)

    def globbed(self, pattern: str) -> list[tuple[str, RemoteVersion]]:
        """Return the objects that match a pattern, sorted, with their versions."""
        found = _tried(pattern, lambda: self._system.glob(pattern, detail=True))
        return self._files(found.values())

    def _files(self, found: Any) -> list[tuple[str, RemoteVersion]]:
        files = [info for info in found if info.get("type") == "file"]
        return sorted((self._url(info["name"]), _version(info)) for info in files)

    def _url(self, name: str) -> str:
        return name if "://" in name else f"{self.scheme}://{name}"

    def fetch(self, url: str, path: Path) -> RemoteVersion:
        """Fetch an object to a file; one that changes meanwhile is fetched again.

        Parameters
        ----------
        url : str
            The object.
        path : Path
            File to write.

        Returns
        -------
        RemoteVersion
            Of the bytes that were fetched.

        Raises
        ------
        FitsReadError
            It is not there, may not be read, or the connection was lost each time.
        """

        def transfer() -> RemoteVersion:
            seen = time.time_ns()
            before = _version(self._system.info(url))
            self._system.get_file(url, str(path))
            # A store gives large objects in pieces: they must be of one version.
            size, after = path.stat().st_size, _version(self._system.info(url))
            if after != before or before.size not in {-1, size}:
                raise _UnsteadyError(f"{size} bytes came of {before.size}, or it was changed")
            return replace(before, seen_ns=seen)

        version: RemoteVersion = _tried(url, transfer)
        return version


def store_of(url: str | Path) -> Store:
    """Return the store that has a URL."""
    return Store(str(url))


@cached_for_run(maxsize=len(SCHEMES))
def _file_system(scheme: str, process: int) -> Any:  # noqa: ARG001 - connections do not fork
    """Return a file system for a run: the next may have other credentials or servers."""
    try:
        import fsspec  # noqa: PLC0415 - where a URL is met only

        return fsspec.filesystem(scheme, skip_instance_cache=True, **_settings(scheme))
    except ImportError as error:
        raise ConfigurationError(
            f"{scheme}:// needs fsspec and {SCHEMES[scheme]}, which cannot be imported: "
            f"{error}. Install them: python -m pip install 'astroclean[cloud]'"
        ) from error


def _settings(scheme: str) -> dict[str, Any]:
    # Listings of an earlier run would hide that something was changed.
    settings: dict[str, Any] = {"use_listings_cache": False}
    if scheme == "s3":  # botocore's tries would multiply with those of s3fs
        return settings | {"config_kwargs": {"retries": {"total_max_attempts": 1}}}
    if not is_web(f"{scheme}://"):
        return settings
    import aiohttp  # noqa: PLC0415 - as fsspec

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_SILENCE, sock_read=_SILENCE)
    # The bytes as they are stored: a packed file stays packed.
    client = {"headers": {"Accept-Encoding": "identity"}, "auto_decompress": False}
    return settings | {"client_kwargs": {**client, "timeout": timeout, "trust_env": True}}


def _version(info: dict[str, Any]) -> RemoteVersion:
    etag = str(info.get("ETag") or info.get("etag") or "")
    told = next(filter(None, map(info.get, _TIMES)), None)
    size = info.get("size")
    return RemoteVersion(
        size=-1 if size is None else int(size),
        etag="" if etag.startswith("W/") else etag,  # weak: other bytes may have the same
        modified_ns=_nanoseconds(told),
    )


_TIMES = ("LastModified", "Last-Modified", "mtime", "updated")


def _nanoseconds(told: Any) -> int:
    with contextlib.suppress(ValueError, TypeError):
        if isinstance(told, str):
            is_iso = re.match(r"\d{4}-", told)
            told = datetime.fromisoformat(told) if is_iso else parsedate_to_datetime(told)
        if isinstance(told, datetime):
            aware = told if told.tzinfo else told.replace(tzinfo=UTC)
            return int(aware.timestamp() * 1_000_000) * 1000
    return 0


class _UnsteadyError(Exception):
    """What came is not what was told."""


def _tried(url: str, work: Callable[[], Any]) -> Any:
    """Do something that a lost connection may end, and may end well the next time."""
    for pause in (*_PAUSES, None):
        try:
            return work()
        except Exception as error:  # each file system has errors of its own
            cause = _cause(error)
            is_ours = isinstance(cause, OSError) and cause.errno in _NO_ROOM
            if is_ours or isinstance(cause, AstrocleanError):
                raise
            if pause is None or not _may_pass(cause):
                raise _translated(url, cause, tries=ATTEMPTS) from error
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


def _translated(url: str, error: BaseException, *, tries: int) -> AstrocleanError:
    where, status = shown_url(url), _status(error)
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, FileNotFoundError) or status in _MISSING:
        return FitsReadError("there is no such object or bucket", where=where, remedy="Check it.")
    credentials = any("Credential" in name for name in names)
    if isinstance(error, PermissionError) or status in _FORBIDDEN or credentials:
        return FitsReadError(
            "there are no credentials" if credentials else "may not be read: no permission",
            where=where,
            remedy="Set credentials in the environment or a profile, as fsspec and the "
            f"{SCHEMES[urlsplit(url).scheme.lower()]} package read them.",
        )
    problem = f"cannot be fetched: {_told(error)}"
    if _may_pass(error):
        problem = f"cannot be fetched, tried {tries} times: {_told(error)}"
    return FitsReadError(problem, where=where, remedy="Check the connection, and run again.")


def _told(error: BaseException) -> str:
    """Return what an error says, without queries: where a redirect leads may be signed."""
    text = re.sub(r"\?[^\s'\"<>)]+", "?...", str(error)).strip()
    text = re.sub(r"://[^/\s@]+@", "://", text)
    return f"{type(error).__name__.removeprefix('_')}: {text}" if text else type(error).__name__
