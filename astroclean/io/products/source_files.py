"""Read sources back from the files that hold them: catalogue, images, segmentation."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable

from astroclean.core.image.grid import Grid
from astroclean.core.sources.columns import UCD
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.core.stage.kinds.deblend import SEGMENTATION
from astroclean.errors import AstrocleanWarning, FitsReadError, FrameError
from astroclean.io.fits.source import open_fits
from astroclean.io.header.values import frame_wcs
from astroclean.io.products.catalog_check import check_catalogue
from astroclean.io.products.catalogs import CATALOGUE, STAMPS
from astroclean.io.products.names import OWNER_KEYWORD
from astroclean.io.resources import read_table, with_known_units

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["read_sources"]

_LABEL = "hdu"
_LISTED = 5
"""Labels that a message tells."""
_OLD_STAMP = "STAMP"
"""EXTNAME of the images of versions that wrote an HDU a source."""


def read_sources(
    path: str | Path,
    *,
    hdu: str | None = None,
    stamps: str | Path | None = None,
    segmentation: str | Path | None = None,
) -> Sources:
    """Read the sources of one frame: see `Sources.read`.

    Parameters
    ----------
    path : str or Path
        Catalogue.
    hdu : str, optional
        Value of its column ``hdu`` that is meant; not needed where there is one alone.
    stamps, segmentation : str or Path, optional
        Files with the images and with the layer ``SEGMENTATION``.

    Returns
    -------
    Sources
        New.

    Raises
    ------
    FitsReadError
        A file is damaged or holds no such sources, the frame is not told, or the segmentation has
        labels that are no ids of the catalogue.
    """
    table, label = _of_frame(_table(Path(path)), hdu, str(path))
    grid, labels = (None, None) if segmentation is None else _labels(Path(segmentation), label)
    if labels is not None:
        _check_labels(labels, table, where=str(segmentation))
    images = () if stamps is None else tuple(_stamps(Path(stamps), label))
    try:
        return Sources(table, labels, images, grid)
    except FrameError as error:
        raise FitsReadError(str(error), where=str(path)) from error


def _table(path: Path) -> QTable:
    """Return a catalogue; of a FITS file the HDU ``SOURCES``, or else its first table."""
    if path.suffix.lower() in {".ecsv", ".vot"}:
        return _plain(QTable(read_table(path)))
    check_catalogue(path)
    with open_fits(path) as hdus:
        tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)]
        named = [hdu for hdu in tables if hdu.name == CATALOGUE]
        if not tables:
            raise FitsReadError("has no table", where=str(path))
        hdu = (named or tables)[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", u.UnitsWarning)
            # A NaN is what the catalogue says, and no gap in it.
            table = QTable.read(hdu, mask_invalid=False, character_as_bytes=False)
        table = with_known_units(table)
        for number, name in enumerate(hdu.columns.names, start=1):
            column = table[name]
            if not column.dtype.isnative:
                table[name] = column.astype(column.dtype.newbyteorder("="))
            table[name].info.description = hdu.header.get(f"TCOMM{number}")
            if f"TUCD{number}" in hdu.header:
                table[name].info.meta = {UCD: hdu.header[f"TUCD{number}"]}
    table.meta.clear()
    return table


def _plain(table: QTable) -> QTable:
    """Return a table in whose numbers a gap is a NaN, as it was before it was written."""
    for name in table.colnames:
        column = table[name]
        if getattr(column, "mask", None) is None:
            continue
        info = column.info.description, column.info.meta
        if column.dtype.kind == "f":
            table[name] = column.filled(np.nan)
        elif not np.any(column.mask):
            table[name] = np.ma.getdata(column)
        table[name].info.description, table[name].info.meta = info
    table.meta.clear()
    return table


def _of_frame(table: QTable, wanted: str | None, where: str) -> tuple[QTable, str | None]:
    """Return the rows of one frame, and which that is."""
    if _LABEL not in table.colnames:
        return table, wanted
    found = list(dict.fromkeys(str(label) for label in table[_LABEL]))
    if (wanted is None and len(found) > 1) or (wanted is not None and wanted not in found):
        raise FitsReadError(
            "the catalogue has the sources of several frames"
            if wanted is None
            else f"the catalogue has no sources of the frame '{wanted}'",
            where=where,
            received=", ".join(found) or "no sources",
            remedy='Tell which is meant: `hdu="[SCI,1]"`.',
        )
    label = wanted if wanted is not None or not found else found[0]
    rows = table[np.asarray(table[_LABEL]).astype(str) == label] if label is not None else table
    rows.remove_column(_LABEL)
    return rows, label


def _stamps(path: Path, label: str | None) -> Iterator[SourceStamp]:
    with open_fits(path) as hdus:
        named = [hdu for hdu in hdus if hdu.name in (STAMPS, _OLD_STAMP)]
        if not named:
            raise FitsReadError(
                "has no images of sources", where=str(path), remedy=f"It needs an HDU {STAMPS}."
            )
        for hdu in named:
            if hdu.name == STAMPS:
                yield from _rows(hdu.data, label, str(path))
            else:
                yield from _old(hdu, label)


def _rows(table: Any, label: str | None, where: str) -> Iterator[SourceStamp]:
    shared = "share" in [name.lower() for name in table.names]
    for row in table:
        if label is None or row["hdu"] in ("", label):
            data = _image(row, "data", where)
            # A source without a share has no pixel in that column.
            share = _image(row, "share", where) if shared and np.size(row["share"]) else None
            origin = int(row["y0"]), int(row["x0"])
            yield SourceStamp(int(row["id"]), origin, data, str(row["band"]), share)


def _image(row: Any, name: str, where: str) -> NDArray[np.float32]:
    shape, pixels = (int(row["ny"]), int(row["nx"])), np.array(row[name], dtype=np.float32)
    if min(shape) < 0 or pixels.size != shape[0] * shape[1]:
        raise FitsReadError(
            f"'{name}' of source {row['id']} must be an image of ny x nx = {shape[0]} x {shape[1]}",
            where=where,
            received=f"{pixels.size} pixels",
        )
    return pixels.reshape(shape)


def _old(hdu: fits.ImageHDU, label: str | None) -> Iterator[SourceStamp]:
    header = hdu.header
    if label is None or header.get(OWNER_KEYWORD, label) == label:
        origin = -int(header["LTV2"]), -int(header["LTV1"])
        yield SourceStamp(int(header["SOURCEID"]), origin, np.array(hdu.data, dtype=np.float32))


def _labels(path: Path, label: str | None) -> tuple[Grid, NDArray[np.int32]]:
    """Return the segmentation of a frame with its grid."""
    with open_fits(path) as hdus:
        images = [hdu for hdu in hdus if hdu.name == SEGMENTATION.name and hdu.is_image]
        ours = [hdu for hdu in images if _belongs(hdu, label)] if len(images) > 1 else images
        if len(ours) != 1 or len(ours[0].shape) != 2:  # noqa: PLR2004
            raise FitsReadError(
                f"has no HDU {SEGMENTATION.name} of the frame",
                where=str(path),
                received=", ".join(f"[{hdu.name},{hdu.ver}] {hdu.shape}" for hdu in images) or None,
                remedy="Run the pipeline with `segmentation` in `[products] keep`.",
            )
        header, data = ours[0].header, np.array(ours[0].data, dtype=np.int32)
        notes: list[str] = []
        wcs = frame_wcs(header, hdus, notes)
    for note in notes:
        warnings.warn(f"{path}: {note}", AstrocleanWarning, stacklevel=2)
    origin = float(header.get("ACORIG2", 0)), float(header.get("ACORIG1", 0))
    return Grid((data.shape[0], data.shape[1]), wcs, origin, float(header.get("ACSTEP", 1))), data


def _check_labels(labels: NDArray[np.int32], table: QTable, *, where: str) -> None:
    """Refuse a segmentation of other sources than those of the catalogue."""
    found = np.unique(labels)
    unknown = np.setdiff1d(found[found != 0], np.asarray(table["id"]))
    if unknown.size:
        listed = ", ".join(map(str, unknown[:_LISTED])) + (", ..." * (unknown.size > _LISTED))
        raise FitsReadError(
            "the segmentation is not that of the catalogue: its labels are not ids of sources",
            where=where,
            received=f"{unknown.size} labels that no source has: {listed}",
            remedy="Give catalogue and segmentation of one run, and of one frame.",
        )


def _belongs(hdu: fits.ImageHDU, label: str | None) -> bool:
    """Whether an HDU is of the science HDU that a catalogue names, as ``[SCI,1]``."""
    number = "" if label is None else label.strip("[]").rpartition(",")[2]
    return f"[{hdu.header.get(OWNER_KEYWORD)}]" == label or number == str(hdu.ver)
