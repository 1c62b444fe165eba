"""Tell the files that astroclean wrote from those of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astroclean.errors import FitsReadError
from astroclean.io.fits.source import FitsSource
from astroclean.io.products.names import WRITER_KEYWORD

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_written_by_astroclean"]


def is_written_by_astroclean(path: Path) -> bool:
    """Return whether any HDU carries astroclean's card; a file that cannot be read does not."""
    try:
        with FitsSource(path) as source:
            return any(WRITER_KEYWORD in source.header(hdu.index) for hdu in source.hdus)
    except FitsReadError:
        return False
