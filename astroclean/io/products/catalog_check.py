"""Check catalogues before they are read: their data lie inside, and headers can be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO
from xml.parsers import expat

from astroclean.core.regular import open_regular
from astroclean.errors import FitsReadError
from astroclean.io.fits.source import FitsSource
from astroclean.io.packed.packers import PACKING_ERRORS, packer_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_catalogue"]

_CHUNK = 1 << 20
_MARKS = (b"<", b"\xfe\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\0<", b"\x4c\x6f\xa7\x94")
"""How XML begins, in any encoding."""


def check_catalogue(path: Path) -> None:
    """Refuse a VOTable that has its data in another file or on the net, and damaged FITS tables.

    Parameters
    ----------
    path : Path
        A catalogue of any format, perhaps packed.

    Raises
    ------
    FitsReadError
        A ``STREAM`` has an ``href``, the file declares entities or is not well-formed; or it is
        FITS and cannot be believed.
    OSError
        The file cannot be opened, or is no regular file.
    """
    with open_regular(path) as stream:
        packer = packer_of(stream)
        if packer is None:
            _scan(stream, path)
            return
        try:
            with packer.unpacked(stream) as plain:
                _scan(plain, path)
        except PACKING_ERRORS:
            return  # the reader says what is wrong


def _scan(stream: BinaryIO, path: Path) -> None:
    part = stream.read(_CHUNK)
    if part.startswith(b"SIMPLE"):
        with FitsSource(path):  # holds its headers against the standard
            return
    if not part.lstrip().startswith(_MARKS):
        return
    parser = expat.ParserCreate()

    def begin(name: str, attributes: dict[str, str]) -> None:
        local = {key.rpartition(":")[2].lower() for key in attributes}
        if name.rpartition(":")[2].upper() == "STREAM" and "href" in local:
            raise FitsReadError(
                "refers to data in another file or on the net",
                where=str(path),
                received=next(v for k, v in attributes.items() if k.lower().endswith("href")),
                remedy="Save the VOTable with its data inside.",
            )

    def refuse(*_: Any) -> None:
        raise FitsReadError(
            "declares entities of XML", where=str(path), remedy="Remove its <!ENTITY ...>."
        )

    parser.StartElementHandler = begin
    parser.EntityDeclHandler = refuse
    try:
        while part:
            parser.Parse(part, False)
            part = stream.read(_CHUNK)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        # Not left to the reader: it might follow a link before it comes to the fault.
        raise FitsReadError(f"not well-formed XML: {error}", where=str(path)) from error
