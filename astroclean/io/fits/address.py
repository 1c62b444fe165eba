"""Addresses of HDUs in CFITSIO's manner: ``file.fits[2]``, ``file.fits[SCI]``, ``[SCI,1]``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from astroclean.core.regular import is_there
from astroclean.errors import HduNotFoundError
from astroclean.io.remote.urls import UrlPath, is_url

__all__ = ["Address", "hdu_label", "parse_address"]

_PATTERN = re.compile(r"^(?P<path>.+)\[(?P<hdu>[^\[\]]+)\]$")


@dataclass(frozen=True)
class Address:
    """A file and, where told, one of its HDUs."""

    path: Path
    """A `UrlPath` where it is a URL."""
    index: int | None = None
    name: str | None = None
    version: int | None = None

    @property
    def is_whole_file(self) -> bool:
        """Whether no HDU is told."""
        return self.index is None and self.name is None

    def __str__(self) -> str:
        if self.index is not None:
            return f"{self.path}[{self.index}]"
        if self.name is not None:
            return f"{self.path}[{hdu_label(self.name, self.version)}]"
        return str(self.path)


def hdu_label(name: str, version: int | None) -> str:
    """Return ``NAME,VERSION``, or the name alone where there is no version."""
    return name if version is None else f"{name},{version}"


def parse_address(text: str | Path) -> Address:
    """Split an address into file and HDU.

    Parameters
    ----------
    text : str or Path
        ``file``, ``file[index]``, ``file[NAME]`` or ``file[NAME,version]``; a URL likewise. A file
        whose own name ends in brackets is taken as it is when it exists.

    Returns
    -------
    Address
        Names are upper case without trailing blanks, as FITS compares them.

    Raises
    ------
    HduNotFoundError
        What follows the name is no version.
    """
    kind = UrlPath if is_url(text) else Path
    path = text if isinstance(text, kind) else kind(text)
    match = _PATTERN.match(str(text)) if str(text).endswith("]") else None
    if match is None or (kind is Path and is_there(path)):
        return Address(path)
    file, hdu = kind(match["path"]), match["hdu"].strip()
    if re.fullmatch(r"\d+", hdu):
        return Address(file, index=int(hdu))
    name, comma, version = hdu.partition(",")
    if comma and not re.fullmatch(r"\s*\d+\s*", version):
        raise HduNotFoundError(
            "the version of an HDU is a whole number", where=str(text), received=repr(version)
        )
    return Address(file, name=name.strip().upper(), version=int(version) if comma else None)
