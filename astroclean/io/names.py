"""Names of output files: ``x.fits.fz`` gives ``x_clean.fits.fz``, ``x_sources.ecsv``, ..."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "FITS_SUFFIXES",
    "OWNER_KEYWORD",
    "WRITER_KEYWORD",
    "clean_name",
    "is_output_name",
    "product_name",
    "split_name",
]

WRITER_KEYWORD = "ACVERS"
"""Card by which astroclean recognises what it wrote."""
OWNER_KEYWORD = "ACSCI"
"""Card that names the science HDU to which a product belongs."""

_ENDINGS = (".fits", ".fit", ".fts")
_PACKINGS = (".gz", ".fz", ".bz2", ".xz", "")
FITS_SUFFIXES = (
    *(ending + packing for packing in _PACKINGS for ending in _ENDINGS),
    ".ftz",  # gzipped, as files of X-ray missions
)
"""Suffixes of the files that a folder is searched for."""


def split_name(path: Path) -> tuple[str, str]:
    """Return stem and full suffix, such as ``("x", ".fits.fz")``; unknown suffixes give .fits."""
    for suffix in FITS_SUFFIXES:
        if path.name.lower().endswith(suffix) and len(path.name) > len(suffix):
            return path.name[: -len(suffix)], path.name[-len(suffix) :]
    return path.name, ".fits"


def clean_name(path: Path, *, marker: str = "clean") -> str:
    """Return the name of the cleaned file."""
    stem, suffix = split_name(path)
    return f"{stem}_{marker}{suffix}"


def product_name(path: Path, product: str, suffix: str) -> str:
    """Return the name of a product that lies beside the cleaned file."""
    return f"{split_name(path)[0]}_{product}{suffix}"


def is_output_name(path: Path) -> bool:
    """Return whether a file may be one that astroclean wrote, by its name alone."""
    products = ("_clean", "_flags", "_mask", "_sources", "_stamps", "_truth")
    return split_name(path)[0].endswith(products)
