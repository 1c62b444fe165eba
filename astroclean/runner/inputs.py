"""Which files a run is about: paths, folders, globs, lists."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from astroclean.errors import NoInputError
from astroclean.io.address import parse_address
from astroclean.io.names import CLEAN, FITS_SUFFIXES, base_name, is_output_name
from astroclean.io.origin import is_written_by_astroclean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["InputSet", "find_inputs", "remedy_for_twins"]


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


def find_inputs(
    given: Sequence[str], *, base: Path, twins: bool = False, name: str = CLEAN
) -> InputSet:
    """Expand inputs to files.

    Parameters
    ----------
    given : sequence of str
        Files with an optional ``[HDU]``, folders, globs, or ``@list.txt`` with one a line.
    base : Path
        Folder to which relative inputs refer.
    twins : bool
        Whether files of the same name in different folders may take part, as where none is written.
    name : str
        ``[products] name``.

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
    seen: set[tuple[Path, str]] = set()
    for text in _listed(given, base, found):
        for path, was_named in _expanded(text, base, found):
            address = parse_address(path)
            key = (address.path.resolve(), str(path)[len(str(address.path)) :])
            if key in seen:
                continue
            seen.add(key)
            shown = os.fsencode(path).decode("utf-8", "backslashreplace")
            if shown != str(path):
                found.failed[shown] = f"{shown}: the name is not UTF-8 text. Rename it."
                continue
            if not was_named and _is_own_output(address.path, name):
                found.notes.append(f"{address.path}: written by astroclean, skipped")
                continue
            found.files.append(str(path))
    if not twins:
        _set_apart_twins(found, name)
    if not found.files and found.missing == set(found.failed):
        raise NoInputError(
            "no input matched",
            received=", ".join(given) or "no input at all",
            remedy="; ".join(found.notes) or "Give FITS files, folders, globs or @list.txt.",
        )
    return found


def _listed(given: Sequence[str], base: Path, found: InputSet) -> Iterator[str]:
    for text in given:
        if not text.startswith("@"):
            yield text
            continue
        try:
            lines = (base / text[1:]).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            found.failed[text] = f"{text[1:]}: the list cannot be read: {error}."
            continue
        yield from (line.strip() for line in lines if line.strip() and not line.startswith("#"))


def _expanded(text: str, base: Path, found: InputSet) -> Iterator[tuple[Path, bool]]:
    """Yield (path with its HDU, whether the user named this very file)."""
    path = base / Path(text).expanduser()
    if path.is_dir():
        yield from ((child, False) for child in _fits_in(path, found))
        return
    if parse_address(path).path.exists():
        yield path, True
        return
    matches = sorted(glob.glob(str(path)))  # noqa: PTH207 - absolute patterns, HDU brackets
    if matches:
        for match in map(Path, matches):
            inside = _fits_in(match, found) if match.is_dir() else [match]
            yield from ((child, False) for child in inside)
    elif not glob.has_magic(text) or "[" in text:
        found.missing.add(text)
        found.failed[text] = f"{text}: no such file or folder. Check the path."
    else:
        found.notes.append(f"{text}: no file matches")


def _fits_in(folder: Path, found: InputSet) -> list[Path]:
    try:
        children = sorted(folder.iterdir())
    except OSError as error:
        found.failed[str(folder)] = f"{folder}: the folder cannot be read: {error.strerror}."
        return []
    fits = [c for c in children if c.name.lower().endswith(FITS_SUFFIXES) and not c.is_dir()]
    if not fits:
        found.notes.append(f"{folder}: no FITS file in this folder")
    return fits


def _is_own_output(path: Path, name: str) -> bool:
    # Only files with such a name are opened: a folder may hold thousands.
    return is_output_name(path, name) and is_written_by_astroclean(path)


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
