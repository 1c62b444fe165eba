"""Write frames alone: SCI, FLAGS and, where known, UNCERT of each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from astropy.io import fits

from astroclean import __version__
from astroclean.core.flags.planes import plane_cards
from astroclean.core.image.uncertainty import deviation_of
from astroclean.errors import FitsWriteError
from astroclean.io.fits.encode import encode_hdu, new_image
from astroclean.io.fits.images import own_primary
from astroclean.io.header.wcs_cards import wcs_cards_of
from astroclean.io.products.names import OWNER_KEYWORD, WRITER_KEYWORD
from astroclean.io.scratch.atomic import atomic_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astroclean.core.image.frame import Frame

__all__ = ["write_frame", "write_frames"]

_OF_THE_FILE_READ = ("BSCALE", "BZERO", "BLANK", "EXTNAME", "EXTVER", "CHECKSUM", "DATASUM")


def write_frame(frame: Frame, path: str | Path, *, overwrite: bool = False) -> None:
    """Write one frame alone; see :meth:`astroclean.Frame.write`."""
    write_frames([frame], path, overwrite=overwrite)


def write_frames(frames: Sequence[Frame], path: str | Path, *, overwrite: bool = False) -> None:
    """Write frames to one file, whole or not at all.

    Parameters
    ----------
    frames : sequence of Frame
        EXTVER counts them from 1.
    path : str or Path
        File to write; ``.fits``, ``.fits.gz`` or ``.fits.fz``.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    FitsWriteError
        The file exists or cannot be written.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise FitsWriteError("exists", where=str(path), remedy="Pass overwrite=True.")
    packed = path.suffix.lower() == ".fz"
    with atomic_file(path) as target:
        target.write(own_primary())
        for version, frame in enumerate(frames, start=1):
            for hdu in _hdus(frame, version, packed=packed):
                target.write(encode_hdu(hdu))


def _hdus(frame: Frame, version: int, *, packed: bool) -> list[Any]:
    cards = fits.Header()
    cards["EXTVER"] = version
    cards[OWNER_KEYWORD] = (f"SCI,{version}", "science HDU that this belongs to")
    cards[WRITER_KEYWORD] = (__version__, "version of astroclean")
    flags_header = cards.copy()
    flags_header.extend(plane_cards(), strip=False)
    hdus = [
        new_image("SCI", frame.data, _header(frame, version), packed=packed),
        new_image("FLAGS", frame.flags, flags_header, packed=packed),
    ]
    deviation = deviation_of(frame.uncertainty)
    if deviation is not None:
        hdus.append(new_image("UNCERT", deviation, cards, packed=packed))
    return hdus


def _header(frame: Frame, version: int) -> fits.Header:
    header = frame.meta.copy() if isinstance(frame.meta, fits.Header) else fits.Header(frame.meta)
    for keyword in _OF_THE_FILE_READ:
        header.remove(keyword, ignore_missing=True)
    if version > 1:  # the only frame of a file needs none
        header["EXTVER"] = version
    header["BUNIT"] = frame.unit.to_string()
    if frame.wcs is not None:
        # Written in one form: CD beside PC, as a mixture would have, is against the standard.
        for keyword in wcs_cards_of(header, lookups=True):
            header.remove(keyword, ignore_missing=True, remove_all=True)
        header.extend(frame.wcs.to_header(relax=True), useblanks=False)
    header.remove(WRITER_KEYWORD, ignore_missing=True)
    for entry in frame.history:
        for line in entry.cards():
            header.add_history(line)
    return header
