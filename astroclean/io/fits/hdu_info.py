"""`HduInfo`: what can be said of an HDU without its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from astroclean.io.fits.address import hdu_label
from astroclean.io.products.names import OWNER_KEYWORD, WRITER_KEYWORD

if TYPE_CHECKING:
    from astropy.io import fits

__all__ = ["HduInfo", "owner_of"]


@dataclass(frozen=True)
class HduInfo:
    """What can be said of an HDU without its pixels."""

    index: int
    name: str
    """EXTNAME, upper case, no trailing blanks; empty where none."""
    version: int
    shape: tuple[int, ...]
    """(..., ny, nx); empty for a table or an HDU without data."""
    is_image: bool
    is_compressed: bool
    start: int
    data_start: int
    end: int
    """Byte offsets in the unpacked file: header, data, first byte behind the padded data."""
    belongs_to: str | None = None
    """Label of the science HDU of which astroclean made this one; None for HDUs of others."""
    layer: str | None = None
    """Name of the layer of astroclean to which it belongs."""
    has_namesake: bool = False
    """Whether another HDU has the same name and version."""

    @property
    def label(self) -> str:
        """How users address the HDU: ``SCI,1``, or its number where that is none or not alone."""
        is_alone = self.name and not self.has_namesake
        return hdu_label(self.name, self.version) if is_alone else str(self.index)


def owner_of(header: fits.Header) -> str | None:
    """Return the label of the science HDU of which astroclean made this one, if it did."""
    owner = header.get(OWNER_KEYWORD) if WRITER_KEYWORD in header else None
    return None if owner is None else str(owner)
