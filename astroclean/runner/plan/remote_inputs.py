"""Inputs that are URLs: objects, globs and folders of a store, files of a web server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from astroclean.core.parallel import in_threads
from astroclean.errors import FitsReadError
from astroclean.io.fits.address import parse_address
from astroclean.io.products.names import FITS_SUFFIXES, OWN_FOLDER
from astroclean.io.products.origin import is_written_by_astroclean
from astroclean.io.remote.staging import local_file
from astroclean.io.remote.store import store_of
from astroclean.io.remote.urls import (
    UrlPath,
    check_url,
    is_url,
    is_web,
    shown_url,
    with_lower_scheme,
)
from astroclean.runner.plan.folders import NOT_SEARCHED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from astroclean.io.remote.store import RemoteVersion, Store
    from astroclean.runner.plan.inputs import InputSet

__all__ = ["ask_for_versions", "expanded_url", "is_remote_output"]

_GLOB = re.compile(r"[*?\[]")
_HDU = re.compile(r"(?P<url>.+)(?P<hdu>\[[^\[\]*?]+\])$")
_THREADS = 16
"""Requests at a time: each waits for the server, and computes nothing."""


def expanded_url(
    text: str, found: InputSet, *, recursive: bool = False
) -> Iterator[tuple[Path, bool]]:
    """Yield (URL with its HDU, whether the user named this very object).

    Parameters
    ----------
    text : str
        An object, a folder of a store that ends in ``/``, or a glob, with an optional HDU. An
        object whose own name has the signs of a glob is taken as it is when it exists.
    found : InputSet
        Gets notes, and the versions of what a store lists.
    recursive : bool
        Whether folders in folders are searched, too, as `astroclean.runner.plan.folders` does.

    Raises
    ------
    ConfigurationError
        The URL cannot be used; see `astroclean.io.remote.urls.check_url`.
    """
    url, hdu = _split(with_lower_scheme(text))
    check_url(url)
    if not is_web(url) and (_GLOB.search(url) or url.endswith("/")):
        if _is_there(url):
            yield UrlPath(url + hdu), True
            return
        yield from (
            (UrlPath(one + hdu), False) for one in _below(url, hdu, found, recursive=recursive)
        )
        return
    problem = None
    if url.endswith("/"):
        problem = "a web server does not list its folders. Give files, or @list.txt"
    elif "*" in url:
        problem = "a web server lists no files that match a pattern. Give files, or @list.txt"
    if problem is None:
        yield UrlPath(url + hdu), True
    else:
        found.missing.add(shown_url(text))
        found.failed[shown_url(text)] = f"{shown_url(text)}: {problem}."


def _split(text: str) -> tuple[str, str]:
    """Return a URL and its HDU: brackets after a suffix of FITS, or where there is no glob."""
    match = _HDU.fullmatch(text)
    if match is None:
        return text, ""
    is_fits = match["url"].lower().endswith(FITS_SUFFIXES)
    return (match["url"], match["hdu"]) if is_fits or is_web(text) else (text, "")


def _is_there(url: str) -> bool:
    """Return whether an object has this very name, though it has signs of a glob."""
    if url.endswith("/"):
        return False
    try:
        return store_of(url).found(url) is not None
    except FitsReadError:  # the glob is asked for next, and what is wrong is told then
        return False


def _below(url: str, hdu: str, found: InputSet, *, recursive: bool) -> list[str]:
    """Return the objects that a glob or a folder names."""
    is_folder = not _GLOB.search(url)
    try:
        store = store_of(url.rstrip("/"))
        if is_folder:
            files = _in_folder(store, url.rstrip("/"), found, recursive=recursive)
        else:
            files, folders = store.globbed(url)
            for folder in folders:
                files += _in_folder(store, folder.rstrip("/"), found, recursive=recursive)
    except FitsReadError as error:
        found.failed[url] = str(error)
        found.missing.add(url)
        return []
    if not files:
        below = " or below it" if recursive else ""
        told = f"no FITS file in this folder{below}" if is_folder else "no object matches"
        found.notes.append(f"{url}: {told}")
    found.versions.update({one + hdu: version for one, version in files})
    return [one for one, _ in files]


def _in_folder(
    store: Store, folder: str, found: InputSet, *, recursive: bool
) -> list[tuple[str, RemoteVersion]]:
    """Return the FITS files of a folder of a store; of one that is searched as one on disk is."""
    files = store.listed_below(folder) if recursive else store.listed(folder)
    fits = [one for one in files if one[0].lower().endswith(FITS_SUFFIXES)]
    if not recursive:
        return fits
    start = len(folder) + 1
    own = {parent for one, _ in files for parent in _output_folders(one[start:])}
    found.notes += [f"{folder}/{one}: {NOT_SEARCHED}" for one in sorted(own)]
    seen = [one for one in fits if not _is_left(one[0][start:], own)]
    return sorted(seen, key=lambda one: _order(one[0]))


def _output_folders(path: str) -> Iterator[str]:
    """Yield the folder, below that which is searched, whose records an object is one of."""
    parent, separator, _ = path.partition(f"/{OWN_FOLDER}/")
    if separator and not _is_hidden(parent):
        yield parent


def _is_left(path: str, own: set[str]) -> bool:
    folder = path.rpartition("/")[0]
    return _is_hidden(folder) or any(f"{folder}/".startswith(f"{one}/") for one in own)


def _is_hidden(folder: str) -> bool:
    return any(part.startswith(".") for part in folder.split("/"))


def _order(url: str) -> list[tuple[bool, str]]:
    """Return what sorts the files of a folder before those of the folders in it."""
    *folders, name = url.split("/")
    return [*((True, folder) for folder in folders), (False, name)]


def ask_for_versions(found: InputSet) -> None:
    """Ask for the versions of URLs that were named, and set those apart that are not there.

    Parameters
    ----------
    found : InputSet
        Its files; changed in place.
    """
    unknown = [text for text in found.files if is_url(text) and text not in found.versions]
    # Made here: a connection belongs to the thread that makes it, and making it is dear.
    stores = {scheme: store_of(url) for scheme, url in _by_scheme(unknown).items()}

    def version(text: str) -> RemoteVersion | FitsReadError:
        url = str(parse_address(text).path)
        try:
            return stores[_scheme(url)].version(url)
        except FitsReadError as error:
            return error

    told = in_threads(version, unknown, _THREADS if len(unknown) > 1 else 1)
    for text, answer in zip(unknown, told, strict=True):
        if isinstance(answer, FitsReadError):
            found.failed[text] = str(answer)
            found.missing.add(text)
        else:
            found.versions[text] = answer
    found.files = [text for text in found.files if text not in found.failed]


def _by_scheme(texts: Sequence[str]) -> dict[str, str]:
    """Return each scheme with the first URL that has it."""
    return {_scheme(text): text for text in reversed(texts)}


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower()


def is_remote_output(url: Path) -> bool:
    """Return whether an object is one that astroclean wrote; it is fetched for it."""
    try:
        with local_file(url) as file:
            return is_written_by_astroclean(file)
    except FitsReadError:
        return False
