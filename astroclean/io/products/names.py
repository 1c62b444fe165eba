"""Names of output files: ``x.fits.fz`` gives ``x_clean.fits.fz``, ``x_sources.ecsv``, ..."""

from __future__ import annotations

import functools
import os
import re
import string
from pathlib import Path

__all__ = [
    "CLEAN",
    "FITS_SUFFIXES",
    "LAYER_KEYWORD",
    "OWNER_KEYWORD",
    "OWN_FOLDER",
    "WRITER_KEYWORD",
    "base_name",
    "check_template",
    "clean_name",
    "is_output_name",
    "is_plain_name",
    "product_name",
    "split_name",
]

CLEAN = "{stem}_clean"
"""``[products] name`` where none is given."""
_MARKER = "_clean"
_PLACEHOLDERS = ("stem", "parent")
_LONGEST = 255  # bytes of a name, on the file systems in common use

OWN_FOLDER = ".astroclean"
"""What every output folder has, for all that is of astroclean alone."""
WRITER_KEYWORD = "ACVERS"
"""Card by which astroclean recognises what it wrote."""
LAYER_KEYWORD = "ACLAYER"
"""Card that names the layer to which an HDU belongs."""
OWNER_KEYWORD = "ACSCI"
"""Card that names the science HDU to which a product belongs."""

_ENDINGS = (".fits", ".fit", ".fts")
_PACKINGS = (".gz", ".fz", ".bz2", ".xz", "")
FITS_SUFFIXES = (
    *(ending + packing for packing in _PACKINGS for ending in _ENDINGS),
    ".ftz",  # gzipped, as files of X-ray missions
)
"""Suffixes of the files that a folder is searched for."""
_SUFFIX = re.compile(
    rf"(?<=.)(?:{'|'.join(map(re.escape, FITS_SUFFIXES))})\Z", re.IGNORECASE | re.ASCII | re.DOTALL
)


def split_name(path: Path) -> tuple[str, str]:
    """Return stem and full suffix, such as ``("x", ".fits.fz")``; unknown suffixes give .fits."""
    name = path.name
    found = _SUFFIX.search(name)
    return (name, ".fits") if found is None else (name[: found.start()], found[0])


def check_template(template: str) -> None:
    """Check a template of output names.

    Parameters
    ----------
    template : str
        Text with ``{stem}`` and, where wanted, ``{parent}``.

    Raises
    ------
    ValueError
        It lacks ``{stem}``, has other placeholders, or characters that no file name has.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{error}; a brace that is meant is written twice") from error
    fields = [name for _, name, _, _ in parts if name is not None]
    if any(name not in _PLACEHOLDERS for name in fields) or any(f or c for _, _, f, c in parts):
        raise ValueError("placeholders are {stem} and {parent}")
    if "stem" not in fields:
        raise ValueError("without {stem} all files would have one name")
    if "/" in template or template.startswith(".") or not template.isprintable():
        raise ValueError("a name has no '/' and no leading '.'; it lies in the output folder")


def is_plain_name(name: str) -> bool:
    """Return whether a name is that of something directly within a folder."""
    return name not in {"", ".", ".."} and not any(c in name for c in "/\0")


def _expanded(path: Path, template: str) -> str:
    # Links keep their names. `..` has none of its own, what lies above the root has none at all.
    wanted = "{parent}" in template
    parent = Path(os.path.abspath(path)).parent.name if wanted else ""  # noqa: PTH100 - as above
    return template.format(stem=split_name(path)[0], parent=parent)


def base_name(path: Path, template: str = CLEAN) -> str:
    """Return what the names of all outputs of an input begin with.

    Parameters
    ----------
    path : Path
        The input.
    template : str
        ``[products] name``.

    Returns
    -------
    str
        The name of the cleaned file without suffix, and without ``_clean`` at its end.
    """
    return _expanded(path, template).removesuffix(_MARKER)


def clean_name(path: Path, template: str = CLEAN) -> str:
    """Return the name of the cleaned file."""
    return _expanded(path, template) + split_name(path)[1]


def product_name(path: Path, product: str, suffix: str, template: str = CLEAN) -> str:
    """Return the name of a product that lies beside the cleaned file."""
    return f"{base_name(path, template)}_{product}{suffix}"


def is_output_name(path: Path, template: str = CLEAN) -> bool:
    """Return whether a file may be one that astroclean wrote, by its name alone."""
    products = ("_clean", "_flags", "_mask", "_segmentation", "_sources", "_stamps", "_truth")
    stem = split_name(path)[0]
    return stem.endswith(products) or _pattern(template).fullmatch(stem) is not None


@functools.lru_cache(maxsize=8)
def _pattern(template: str) -> re.Pattern[str]:
    """Return what the names fit that a template gives."""
    pieces = (
        re.escape(text) + ("" if name is None else ".*")
        for text, name, _, _ in string.Formatter().parse(template)
    )
    return re.compile("".join(pieces), re.DOTALL)
