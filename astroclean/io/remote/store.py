"""Object stores and web servers through fsspec: what is there, in which version, and its bytes.

fsspec and its file systems are imported when the first URL is met. Credentials are their own
business: they read them from the environment or from profiles.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from astroclean.core.run_cache import cached_for_run
from astroclean.errors import ConfigurationError, FitsReadError
from astroclean.io.remote.failures import UnsteadyError, is_missing, tried
from astroclean.io.remote.urls import SCHEMES, check_url, is_web

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["RemoteVersion", "Store", "store_of"]

_SILENCE = 60.0  # seconds without a byte after which a connection counts as lost
_AT_A_TIME = 256  # small objects


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
            There is none, it is a folder, or the store does not tell.
        """
        told = self.info(url)
        if told.get("type") == "directory":
            raise FitsReadError(
                "is a folder of the store, whose name ends in /",
                where=url,
                remedy=f"Give {url.rstrip('/')}/.",
            )
        return _version(told)

    def info(self, url: str) -> dict[str, Any]:
        """Return what the store tells of an object, or of a folder (``type``)."""
        told: dict[str, Any] = tried(url, lambda: self._system.info(url))
        return told

    def listed(self, url: str) -> list[tuple[str, RemoteVersion]]:
        """Return the objects directly below a folder, sorted, with their versions."""
        found = tried(url, lambda: self._system.ls(url, detail=True))
        return self._files(found)

    def listed_below(self, url: str) -> list[tuple[str, RemoteVersion]]:
        """Return the objects below a folder, however deep, sorted, with their versions."""
        found = tried(url, lambda: self._system.find(url, detail=True))
        return self._files(found.values())

    def listed_if_there(self, url: str) -> list[tuple[str, RemoteVersion]]:
        """Return what :meth:`listed` does; nothing where there is no such folder."""

        def asked() -> Any:
            try:
                return self._system.ls(url, detail=True)
            except Exception as error:
                if is_missing(error):
                    return []
                raise

        return self._files(tried(url, asked))

    def globbed(self, pattern: str) -> tuple[list[tuple[str, RemoteVersion]], list[str]]:
        """Return the objects that match a pattern, with their versions, and the folders: sorted."""
        found = tried(pattern, lambda: self._system.glob(pattern, detail=True)).values()
        folders = [self._url(one["name"]) for one in found if one.get("type") == "directory"]
        return self._files(found), sorted(folders)

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
                raise UnsteadyError(f"{size} bytes came of {before.size}, or it was changed")
            return replace(before, seen_ns=seen)

        version: RemoteVersion = tried(url, transfer)
        return version

    def put(self, path: Path, url: str) -> RemoteVersion:
        """Put a file into the store: the object is there whole, or as it was before.

        Parameters
        ----------
        path : Path
            File to read.
        url : str
            The object; one that is there is replaced.

        Returns
        -------
        RemoteVersion
            Of the object.

        Raises
        ------
        FitsWriteError
            It may not be written, or the connection was lost each time.
        """

        def transfer() -> RemoteVersion:
            seen = time.time_ns()
            self._system.put_file(str(path), url)
            there, size = _version(self._system.info(url)), path.stat().st_size
            if there.size not in {-1, size}:
                raise UnsteadyError(f"{there.size} bytes are there of {size}")
            return replace(there, seen_ns=seen)

        version: RemoteVersion = tried(url, transfer, writes=True)
        return version

    def write(self, url: str, content: bytes) -> None:
        """Put a small object; raises as :meth:`put`."""
        tried(url, lambda: self._system.pipe_file(url, content), writes=True)

    def remove(self, url: str) -> None:
        """Remove an object; nothing happens where there is none. Raises as :meth:`put`."""

        def removal() -> None:
            try:
                self._system.rm_file(url)
            except Exception as error:
                if not is_missing(error):
                    raise

        tried(url, removal, writes=True)

    def found(self, url: str) -> RemoteVersion | None:
        """Return the version of an object, or None where there is none."""

        def asked() -> RemoteVersion | None:
            try:
                info = self._system.info(url)
            except Exception as error:
                if is_missing(error):
                    return None
                raise
            return _version(info) if info.get("type") == "file" else None

        version: RemoteVersion | None = tried(url, asked)
        return version

    def read(self, url: str, limit: int) -> bytes | None:
        """Return the beginning of an object, or None where there is none.

        Parameters
        ----------
        url : str
            The object.
        limit : int
            The most bytes that are fetched.
        """

        def transfer() -> bytes | None:
            try:
                content: bytes = self._system.cat_file(url, start=0, end=limit)
            except Exception as error:
                if is_missing(error):
                    return None
                if self._system.info(url)["size"] == 0:  # no range is in it
                    return b""
                raise
            return content

        told: bytes | None = tried(url, transfer)
        return told

    def read_all(self, urls: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (URL, bytes) of small objects; several are fetched at a time."""
        for start in range(0, len(urls), _AT_A_TIME):
            part = list(urls[start : start + _AT_A_TIME])
            told = tried(part[0], functools.partial(self._system.cat, part))
            # Of a list of one, the bytes alone come.
            named = {part[0]: told} if isinstance(told, bytes) else told
            yield from ((self._url(name), content) for name, content in named.items())


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
        told = {"config_kwargs": {"retries": {"total_max_attempts": 1}}}
        return settings | told | {"max_concurrency": 2}  # parts of 50 MB in memory, a worker
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
