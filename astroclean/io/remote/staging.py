"""The one place where a URL becomes a local file: fetched, hashed, and removed when it is done."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from astroclean.core.regular import open_regular
from astroclean.errors import FitsReadError
from astroclean.io.remote.store import RemoteVersion, store_of
from astroclean.io.remote.urls import is_url
from astroclean.io.scratch.folders import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Staged", "forget_staged", "local_file", "staged"]

_TOLD = "fetched.json"


@dataclass(frozen=True)
class Staged:
    """A local copy of an object."""

    path: Path
    digest: str
    """SHA-256 of its bytes."""
    version: RemoteVersion


def staged(url: Path, folder: Path) -> Staged:
    """Return the local copy of an object; it is fetched where the folder has none.

    Workers that share the folder share the copy, so that a store is asked for its bytes once.

    Parameters
    ----------
    url : UrlPath
        The object.
    folder : Path
        Folder of the run; made when missing. Nobody else may write to it.

    Returns
    -------
    Staged
        There until :func:`forget_staged`.

    Raises
    ------
    FitsReadError
        It cannot be fetched, or there is no room for it.
    ConfigurationError
        A package is missing.
    """
    place = _place(url, folder)
    known = _known(place)
    if known is not None:
        return known
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=place) as unfinished:
            copy = Path(unfinished) / "copy"
            version = store_of(url).fetch(str(url), copy)
            with open_regular(copy) as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            told = Path(unfinished) / _TOLD
            told.write_text(json.dumps({"digest": digest, "version": asdict(version)}), "utf-8")
            path = copy.replace(place / "copy")
            told.replace(place / _TOLD)  # last: it means that the copy is whole
    except OSError as error:
        raise FitsReadError(
            f"cannot be fetched to the scratch disk: {error.strerror or error}",
            where=str(url),
            remedy="Make room, or name another folder (-o, or TMPDIR).",
        ) from error
    return Staged(path, digest, version)


def forget_staged(url: Path, folder: Path) -> None:
    """Remove the local copy of an object; nothing happens where there is none."""
    shutil.rmtree(_place(url, folder), ignore_errors=True)


@contextlib.contextmanager
def local_file(path: Path) -> Iterator[Path]:
    """Have a file for a while: as it is, or fetched where it is a URL.

    Parameters
    ----------
    path : Path or UrlPath
        A file, or an object.

    Yields
    ------
    Path
        The file. What was fetched is removed on leaving the context.

    Raises
    ------
    As :func:`staged`.
    """
    if not is_url(path):
        yield path
        return
    with tempfile.TemporaryDirectory(dir=temporary_folder()) as folder:
        yield staged(path, Path(folder)).path


def _place(url: Path, folder: Path) -> Path:
    return folder / hashlib.sha256(str(url).encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _known(place: Path) -> Staged | None:
    try:
        told = json.loads((place / _TOLD).read_text("utf-8"))
    except OSError:
        return None
    return Staged(place / "copy", told["digest"], RemoteVersion(**told["version"]))
