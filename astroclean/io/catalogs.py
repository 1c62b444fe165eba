"""Write catalogues (ECSV, FITS), DS9 regions and stamps of sources."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.table import QTable, vstack

from astroclean.core.text_unit import is_understood
from astroclean.errors import FitsWriteError
from astroclean.io.encode import encode_hdu, new_image
from astroclean.io.images import own_primary

if TYPE_CHECKING:
    from collections.abc import Sequence

    import astropy.units as u

    from astroclean.core.sources import Sources

__all__ = ["write_catalog", "write_regions", "write_stamps", "write_table"]

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
        ``.ecsv`` or ``.fits``; in the latter the descriptions of columns are cards ``TCOMMn``.
    """
    tables = [(label, sources.table) for label, sources in catalogs]
    if suffix == ".ecsv":
        write_table(tables, target)
        return
    table = _stacked(tables)
    hdu = _table_hdu(table)
    hdu.name = "SOURCES"
    for number, name in enumerate(table.colnames, start=1):
        description = table[name].info.description
        if description:  # astropy writes none; TOPCAT and STILTS read and write this card
            hdu.header[f"TCOMM{number}"] = description
    target.write(own_primary())
    target.write(encode_hdu(hdu))


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


def _table_hdu(table: QTable) -> fits.BinTableHDU:
    """Return a table as an HDU, with the units that the FITS standard does not know, too."""
    with warnings.catch_warnings():
        # astropy leaves out what the standard does not list, electrons among it.
        warnings.filterwarnings("ignore", message=".*(could not be saved|did not parse as fits)")
        hdu = fits.table_to_hdu(table)
        for name in table.colnames:
            unit = table[name].unit if hasattr(table[name], "unit") else None
            if unit is not None and not hdu.columns[name].unit:
                hdu.columns[name].unit = _unit_text(unit)
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
    """Write the image of each deblended source as an HDU of its own.

    Parameters
    ----------
    catalogs, target
        As for :func:`write_catalog`.
    """
    target.write(own_primary())
    for label, sources in catalogs:
        for stamp in sources.stamps:
            y, x = stamp.origin
            header = fits.Header()
            header["ACSCI"] = (label, "frame that this belongs to")
            header["SOURCEID"] = (stamp.id, "id in the catalogue")
            header["LTV1"] = (-x, "offset of the stamp in the frame")
            header["LTV2"] = (-y, "offset of the stamp in the frame")
            target.write(encode_hdu(new_image("STAMP", stamp.data, header, packed=False)))
