"""Write catalogues (ECSV, FITS), DS9 regions and stamps of sources."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.table import QTable, vstack

from astroclean.core.image.text_unit import is_understood
from astroclean.errors import FitsWriteError
from astroclean.io.fits.encode import encode_hdu
from astroclean.io.fits.images import own_primary
from astroclean.io.products.ucds import UCD, UCDS, with_ucds

if TYPE_CHECKING:
    from collections.abc import Sequence

    import astropy.units as u
    from numpy.typing import NDArray

    from astroclean.core.sources.sources import Sources

__all__ = [
    "CATALOGUE",
    "STAMPS",
    "stamps_hdu",
    "table_hdu",
    "write_catalog",
    "write_regions",
    "write_stamps",
    "write_table",
]

CATALOGUE, STAMPS = "SOURCES", "STAMPS"
"""EXTNAME of the catalogue, and of the table of images."""
_STAMP_COLUMNS = {
    "hdu": "HDU on whose pixels the boxes lie",
    "id": "id in the catalogue",
    "band": "band of a frame set",
    "y0": "row of the first pixel, from 0",
    "x0": "column of the first pixel, from 0",
    "ny": "rows",
    "nx": "columns",
    "data": "light of the source",
}

Catalogs = "Sequence[tuple[str, Sources]]"


def write_catalog(
    catalogs: Sequence[tuple[str, Sources]], target: BinaryIO, *, suffix: str
) -> None:
    """Write one catalogue for all frames of a file.

    Parameters
    ----------
    catalogs : sequence of (str, Sources)
        Label of the frame, as ``[SCI,1]``, and its sources; the label becomes column ``hdu``.
    target : BinaryIO
        Where to write.
    suffix : str
        ``.ecsv`` or ``.fits``; in the latter the descriptions of columns are cards ``TCOMMn``, what
        they are to the Virtual Observatory ``TUCDn``.
    """
    tables = [(label, with_ucds(sources.table)) for label, sources in catalogs]
    if suffix == ".ecsv":
        write_table(tables, target)
        return
    table = _stacked(tables)
    target.write(own_primary())
    target.write(encode_hdu(table_hdu(table, CATALOGUE)))


def write_table(tables: Sequence[tuple[str, QTable]], target: BinaryIO) -> None:
    """Write the tables of all frames of a file as one, in ECSV.

    Parameters
    ----------
    tables : sequence of (str, QTable)
        Label of the frame, as ``[SCI,1]``, which becomes column ``hdu``, and its table.
    target : BinaryIO
        Where to write.
    """
    text = io.StringIO()
    _stacked(tables).write(text, format="ascii.ecsv")
    target.write(text.getvalue().encode("utf-8"))


def table_hdu(table: QTable, name: str) -> fits.BinTableHDU:
    """Return a table as an HDU, with the units that the FITS standard does not know, too.

    Parameters
    ----------
    table : QTable
        Not modified.
    name : str
        EXTNAME.
    """
    with warnings.catch_warnings():
        # astropy leaves out what the standard does not list, electrons among it.
        warnings.filterwarnings("ignore", message=".*(could not be saved|did not parse as fits)")
        hdu = fits.table_to_hdu(table)
        for title in table.colnames:
            unit = table[title].unit if hasattr(table[title], "unit") else None
            if unit is not None and not hdu.columns[title].unit:
                hdu.columns[title].unit = _unit_text(unit)
    hdu.name = name
    for number, title in enumerate(table.colnames, start=1):
        description = table[title].info.description
        if description:  # astropy writes none; TOPCAT and STILTS read and write this card
            hdu.header[f"TCOMM{number}"] = description
        ucd = (table[title].info.meta or {}).get(UCD)
        if ucd:
            hdu.header[f"TUCD{number}"] = ucd
    return hdu


def _unit_text(unit: u.UnitBase) -> str:
    """Return a unit in the form of the standard: powers after names, products by blanks."""
    if not is_understood(unit):
        return str(unit)
    bases = zip(unit.bases, unit.powers, strict=True)
    words = [base.name if power == 1 else f"{base.name}{power:g}" for base, power in bases]
    return " ".join(words if unit.scale == 1 else [f"{unit.scale:g}", *words])


def _stacked(labelled: Sequence[tuple[str, QTable]]) -> QTable:
    tables = []
    for label, given in labelled:
        table = QTable(given, copy=True)
        if "hdu" in table.colnames:
            table.remove_column("hdu")
        width = max(len(name) for name, _ in labelled)
        table.add_column(np.full(len(table), label, dtype=f"U{width}"), name="hdu", index=0)
        table["hdu"].info.description = "frame of the input file"
        table["hdu"].info.meta = {UCD: UCDS["hdu"]}
        table.meta.clear()  # metadata of libraries hold dates and versions
        tables.append(table)
    return tables[0] if len(tables) == 1 else vstack(tables, metadata_conflicts="silent")


def write_regions(catalogs: Sequence[tuple[str, Sources]], target: BinaryIO) -> None:
    """Write the sources as DS9 regions: ICRS where there are sky coordinates, else pixels.

    A source without a finite position has no region; it is in the catalogue.

    Parameters
    ----------
    catalogs, target
        As for :func:`write_catalog`.

    Raises
    ------
    FitsWriteError
        The package ``regions`` is not installed.
    """
    try:
        from astropy.coordinates import SkyCoord  # noqa: PLC0415
        from regions import PixCoord, PointPixelRegion, PointSkyRegion, Regions  # noqa: PLC0415
    except ImportError as error:
        raise FitsWriteError(
            "products.keep has 'regions', which needs the package regions",
            remedy="pip install 'astroclean[regions]'.",
        ) from error
    found: list[Any] = []
    for label, sources in catalogs:
        on_sky = "ra" in sources.table.colnames
        names = ("ra", "dec") if on_sky else ("x", "y")
        places = [np.asarray(sources.table[name], dtype=float) for name in names]
        for row in sources.table[np.isfinite(places).all(axis=0)]:
            meta = {"text": f"{label} {row['id']}"}
            if on_sky:
                found.append(PointSkyRegion(SkyCoord(row["ra"], row["dec"]), meta=meta))
            else:
                place = PixCoord(float(row["x"]), float(row["y"]))
                found.append(PointPixelRegion(place, meta=meta))
    target.write(Regions(found).serialize(format="ds9").encode("utf-8"))


def write_stamps(catalogs: Sequence[tuple[str, Sources]], target: BinaryIO) -> None:
    """Write the images of the deblended sources as one table.

    Parameters
    ----------
    catalogs, target
        As for :func:`write_catalog`.
    """
    target.write(own_primary())
    target.write(encode_hdu(stamps_hdu(catalogs)))


def stamps_hdu(catalogs: Sequence[tuple[str, Sources]]) -> fits.BinTableHDU:
    """Return the images of sources as a table, ``STAMPS``: a row a source and band.

    Parameters
    ----------
    catalogs : sequence of (str, Sources)
        As for :func:`write_catalog`.

    Returns
    -------
    BinTableHDU
        ``hdu``, ``id``, ``band``, ``y0``, ``x0`` (the first pixel of the box, from 0), ``ny``,
        ``nx`` and ``data``: an image in each row where all boxes have one shape, else its pixels
        row by row, as many as there are.
    """
    rows = [(label, stamp) for label, sources in catalogs for stamp in sources.stamps]
    stamps = [stamp for _, stamp in rows]
    texts = {"hdu": [label for label, _ in rows], "band": [stamp.band for stamp in stamps]}
    numbers = {
        "id": [stamp.id for stamp in stamps],
        "y0": [stamp.origin[0] for stamp in stamps],
        "x0": [stamp.origin[1] for stamp in stamps],
        "ny": [stamp.data.shape[0] for stamp in stamps],
        "nx": [stamp.data.shape[1] for stamp in stamps],
    }
    columns = {
        name: fits.Column(name, f"{max(map(len, values), default=1) or 1}A", array=values)
        for name, values in texts.items()
    }
    for name, values in numbers.items():
        columns[name] = fits.Column(name, "J", array=np.asarray(values, dtype=np.int32))
    columns["data"] = _pixels([np.asarray(stamp.data, dtype=np.float32) for stamp in stamps])
    order = ("hdu", "id", "band", "y0", "x0", "ny", "nx", "data")
    hdu = fits.BinTableHDU.from_columns([columns[name] for name in order], name=STAMPS)
    for number, name in enumerate(order, start=1):
        hdu.header[f"TCOMM{number}"] = _STAMP_COLUMNS[name]
    return hdu


def _pixels(images: list[NDArray[np.float32]]) -> fits.Column:
    shapes = {image.shape for image in images}
    if len(shapes) == 1 and 0 not in (shape := shapes.pop()):
        ny, nx = shape
        return fits.Column("data", f"{ny * nx}E", dim=f"({nx},{ny})", array=np.stack(images))
    flat = np.empty(len(images), dtype=object)
    flat[:] = [image.ravel() for image in images]
    wide = sum(image.nbytes for image in images) > np.iinfo(np.int32).max
    return fits.Column("data", "QE()" if wide else "PE()", array=flat)
