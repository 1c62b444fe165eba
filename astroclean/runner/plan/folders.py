"""FITS files in a folder, and in the folders below it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from astroclean.io.products.names import FITS_SUFFIXES, OWN_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from astroclean.runner.plan.inputs import InputSet

__all__ = ["NOT_SEARCHED", "fits_in"]

NOT_SEARCHED = "an output folder of astroclean, not searched"


def fits_in(folder: Path, found: InputSet, *, recursive: bool) -> list[Path]:
    """Return the FITS files in a folder, by their names.

    Parameters
    ----------
    folder : Path
        Where to look.
    found : InputSet
        Gets notes, and the folders that cannot be read as failed.
    recursive : bool
        Whether to look below: those of a folder come before those of the folders in it. A folder is
        entered once, however links lead to it. Hidden ones are not, nor are output folders.
    """
    fits = list(_walked(folder, found)) if recursive else _looked_into(folder, found)[0]
    if not fits and str(folder) not in found.failed:
        below = " or below it" if recursive else ""
        found.notes.append(f"{folder}: no FITS file in this folder{below}")
    return fits


def _walked(folder: Path, found: InputSet) -> Iterator[Path]:
    entered = {os.path.realpath(folder)}
    left = [folder]  # a tree may be deeper than calls can be
    while left:
        fits, folders = _looked_into(left.pop(), found)
        yield from fits
        inside = []
        for inner in folders:
            real = os.path.realpath(inner)
            if inner.name.startswith(".") or real in entered:
                continue
            entered.add(real)
            if os.path.lexists(inner / OWN_FOLDER):
                found.notes.append(f"{inner}: {NOT_SEARCHED}")
            else:
                inside.append(inner)
        left += reversed(inside)


def _looked_into(folder: Path, found: InputSet) -> tuple[list[Path], list[Path]]:
    """Return the FITS files of a folder, and its folders, both sorted."""
    fits, folders = [], []
    try:
        with os.scandir(folder) as entries:  # which tells what is a folder, and asks nothing more
            for entry in entries:
                if _is_folder(entry):
                    folders.append(entry.name)
                elif entry.name.lower().endswith(FITS_SUFFIXES):
                    fits.append(entry.name)
    except OSError as error:
        found.failed[str(folder)] = f"{folder}: the folder cannot be read: {error.strerror}."
    return [folder / name for name in sorted(fits)], [folder / name for name in sorted(folders)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False
