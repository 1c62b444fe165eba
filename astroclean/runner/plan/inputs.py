"""Which files a run is about: paths, folders, globs, lists."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from astroclean.core.regular import RealPaths, is_there, kind_of_mode, read_text, user_path
from astroclean.errors import NoInputError
from astroclean.io.fits.address import parse_address
from astroclean.io.products.names import CLEAN, base_name, is_output_name, split_name
from astroclean.io.products.origin import is_written_by_astroclean
from astroclean.io.remote.urls import is_url
from astroclean.runner.plan.folders import fits_in
from astroclean.runner.plan.remote_inputs import ask_for_versions, expanded_url, is_remote_output

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from astroclean.io.remote.store import RemoteVersion

__all__ = ["InputSet", "find_inputs", "remedy_for_twins", "shown_name"]

_LARGEST_LIST = 64 << 20  # bytes
_LONGEST_STEM = 230
"""Bytes of a stem: names have 255, and outputs add up to 25, as ``_background.fits.fz``."""


@dataclass
class InputSet:
    """What was found."""

    files: list[str] = field(default_factory=list)
    """Addresses to process, in order."""
    failed: dict[str, str] = field(default_factory=dict)
    """Input to the reason why it cannot be processed."""
    missing: set[str] = field(default_factory=set)
    """Those of the failed that do not exist."""
    notes: list[str] = field(default_factory=list)
    versions: dict[str, RemoteVersion] = field(default_factory=dict)
    """Of the inputs that are URLs."""


def find_inputs(
    given: Sequence[str],
    *,
    base: Path,
    twins: bool = False,
    name: str = CLEAN,
    recursive: bool = False,
) -> InputSet:
    """Expand inputs to files.

    Parameters
    ----------
    given : sequence of str
        Files or URLs with an optional ``[HDU]``, folders, globs, or ``@list.txt`` with one a line.
    base : Path
        Folder to which relative inputs refer.
    twins : bool
        Whether files of the same name in different folders may take part, as where none is written.
    name : str
        ``[products] name``.
    recursive : bool
        Whether folders in folders are searched, too.

    Returns
    -------
    InputSet
        Files in the order given, folders and globs sorted, each file once; without those in
        folders and globs that astroclean wrote (they carry its card). Inputs whose outputs would
        have the same name are told as failed.

    Raises
    ------
    NoInputError
        Nothing matched.
    """
    found = InputSet()
    seen: set[tuple[str, str]] = set()
    real = RealPaths()
    for text in _listed(given, base, found):
        expanded = (
            expanded_url(text, found, recursive=recursive)
            if is_url(text)
            else _expanded(text, base, found, recursive=recursive)
        )
        for path, was_named in expanded:
            address = parse_address(path)
            place = str(address.path) if is_url(address.path) else real.of(address.path)
            key = (place, str(path)[len(str(address.path)) :])
            if key in seen:
                continue
            seen.add(key)
            problem = _unusable(path, address.path)
            if problem is not None:
                shown = shown_name(path)
                found.failed[shown] = f"{shown}: {problem}"
                continue
            if not was_named and _is_own_output(address.path, name):
                found.notes.append(f"{address.path}: written by astroclean, skipped")
                continue
            found.files.append(str(path))
    ask_for_versions(found)
    if not twins:
        _set_apart_twins(found, name)
    if not found.files and found.missing == set(found.failed):
        raise NoInputError(
            "no input matched",
            received=", ".join(map(shown_name, given)) or "no input at all",
            remedy="; ".join([*found.notes, *_of_stores(found)])
            or "Give FITS files, folders, globs or @list.txt.",
        )
    return found


def _of_stores(found: InputSet) -> list[str]:
    """Return what stores and servers have answered."""
    return [problem for name, problem in found.failed.items() if is_url(name)]


def _unusable(path: Path, file: Path) -> str | None:
    """Return why a file cannot be an input whatever it holds, and what to do."""
    if shown_name(path) != str(path):
        return "the name is not UTF-8 text. Rename it."
    if len(os.fsencode(split_name(file)[0])) > _LONGEST_STEM:
        return f"the name has more than {_LONGEST_STEM} bytes, its outputs need more. Rename it."
    if is_url(file):
        return None
    try:
        kind = kind_of_mode(file.stat().st_mode)
    except (OSError, ValueError):
        return "leads nowhere, or in a circle. Check the symbolic link."
    if kind is not None:
        return f"is {kind}, not a regular file. Give a regular file."
    return None


def _listed(given: Sequence[str], base: Path, found: InputSet) -> Iterator[str]:
    for text in given:
        if not text.startswith("@"):
            yield text
            continue
        try:
            content = read_text(base / user_path(text[1:]), limit=_LARGEST_LIST, strict=False)
        except OSError as error:
            name = shown_name(text)
            found.failed[name] = f"{name[1:]}: the list cannot be read: {error.strerror or error}."
            continue
        lines = content.split("\n")  # other ends of lines may be part of a name
        yield from (line.strip() for line in lines if line.strip() and not line.startswith("#"))


def _expanded(
    text: str, base: Path, found: InputSet, *, recursive: bool
) -> Iterator[tuple[Path, bool]]:
    """Yield (path with its HDU, whether the user named this very file)."""
    path = base / text if is_there(base / text) else base / user_path(text)
    if is_there(path) and path.is_dir():
        yield from ((child, False) for child in fits_in(path, found, recursive=recursive))
        return
    if is_there(parse_address(path).path):
        yield path, True
        return
    matches = _globbed(path)
    if matches:
        for match in map(Path, matches):
            inside = fits_in(match, found, recursive=recursive) if match.is_dir() else [match]
            yield from ((child, False) for child in inside)
    elif not glob.has_magic(text) or "[" in text:
        name = shown_name(text)
        found.missing.add(name)
        found.failed[name] = f"{name}: no such file or folder. Check the path."
    else:
        found.notes.append(f"{shown_name(text)}: no file matches")


def _globbed(path: Path) -> list[str]:
    try:
        return sorted(glob.glob(str(path)))  # noqa: PTH207 - absolute patterns, HDU brackets
    except (OSError, ValueError, re.error):  # a NUL, a range of a pattern that is none
        return []


def shown_name(text: str | Path) -> str:
    """Return a name as text that can be printed and recorded, whatever its bytes."""
    readable = os.fsencode(text).decode("utf-8", "backslashreplace")
    return readable.replace("\0", "\\x00")


def _is_own_output(path: Path, name: str) -> bool:
    # Only files with such a name are opened: a folder may hold thousands.
    if not is_output_name(path, name):
        return False
    return is_remote_output(path) if is_url(path) else is_written_by_astroclean(path)


def remedy_for_twins(one: str, other: str) -> str:
    """Return what to do where the outputs of two inputs would have the same names."""
    away = "un them into different folders with -o."
    files = [parse_address(text).path.absolute() for text in (one, other)]
    if files[0].parent.name == files[1].parent.name:
        return f"R{away}"
    return f"Set `products.name={{parent}}_{{stem}}_clean`, or r{away}"


def _set_apart_twins(found: InputSet, name: str) -> None:
    """Tell inputs whose products would overwrite one another as failed."""
    by_stem: dict[str, list[str]] = {}
    for text in found.files:
        by_stem.setdefault(base_name(parse_address(text).path, name), []).append(text)
    for twins in by_stem.values():
        if len(twins) > 1:
            for text in twins:
                others = ", ".join(other for other in twins if other != text)
                found.failed[text] = (
                    f"{text}: its outputs would have the same names as those of {others}. "
                    f"{remedy_for_twins(text, twins[0] if text != twins[0] else twins[1])}"
                )
    found.files = [text for text in found.files if text not in found.failed]
