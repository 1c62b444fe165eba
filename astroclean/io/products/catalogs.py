"""Write catalogues (ECSV, FITS, VOTable), DS9 regions and stamps of sources."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.table import QTable, vstack
from astropy.units import dimensionless_unscaled

from astroclean import __version__
from astroclean.core.image.text_unit import is_understood
from astroclean.core.sources.columns import COLUMNS, UCD, explained
from astroclean.io.fits.images import own_primary, write_made
from astroclean.io.products.names import WRITER_KEYWORD
from astroclean.io.products.shapes import LEGEND, region_lines
from astroclean.io.products.votables import votable_bytes

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
_MODEL, _SHARE = "model: light of the source without noise", "light of the image that it is given"
"""What images are where a deblender tells both apart."""

Catalogs = "Sequence[tuple[str, Sources]]"


def write_catalog(
    catalogs: Sequence[tuple[str, Sources]],
    target: BinaryIO,
    *,
    suffix: str,
    history: Sequence[str] = (),
) -> None:
    """Write one catalogue for all frames of a file.

    Parameters
    ----------
    catalogs : sequence of (str, Sources)
        Label of the frame, as ``[SCI,1]``, and its sources; the label becomes column ``hdu``.
    target : BinaryIO
        Where to write.
    suffix : str
        ``.ecsv``, ``.fits`` or ``.vot``. Each tells unit, description and UCD of the columns: FITS
        by the cards ``TUNITn``, ``TCOMMn`` and ``TUCDn``.
    history : sequence of str
        By which stages it came about; HISTORY cards, or the metadata of the table.
    """
    tables = [(label, sources.table) for label, sources in catalogs]
    if suffix == ".ecsv":
        write_table(tables, target, history=history)
    elif suffix == ".vot":
        target.write(votable_bytes(_stacked(tables), CATALOGUE, history=history))
    else:
        _write_hdu(table_hdu(_stacked(tables), CATALOGUE), target, history)


def _write_hdu(hdu: fits.BinTableHDU, target: BinaryIO, history: Sequence[str]) -> None:
    """Write a table as a file of its own, with its sums."""
    hdu.header[WRITER_KEYWORD] = (__version__, "version of astroclean")
    for line in history:
        hdu.header.add_history(line)
    target.write(own_primary())
    write_made(hdu, target, summed=True)


def write_table(
    tables: Sequence[tuple[str, QTable]], target: BinaryIO, *, history: Sequence[str] = ()
) -> None:
    """Write the tables of all frames of a file as one, in ECSV.

    Parameters
    ----------
    tables : sequence of (str, QTable)
        Label of the frame, as ``[SCI,1]``, which becomes column ``hdu``, and its table.
    target : BinaryIO
        Where to write.
    history : sequence of str
        By which stages it came about.
    """
    text, table = io.StringIO(), _stacked(tables)
    table.meta["astroclean"] = __version__
    if history:
        table.meta["history"] = list(history)
    table.write(text, format="ascii.ecsv")
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
        hdu = fits.table_to_hdu(_of_standard_scales(table))
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


def _of_standard_scales(table: QTable) -> QTable:
    """Return a table without the units whose factor is no power of ten: astropy refuses them."""
    odd = {
        title: table[title].value
        for title in table.colnames
        if is_understood(unit := getattr(table[title], "unit", None) or dimensionless_unscaled)
        and not (unit.scale > 0 and float(np.log10(unit.scale)).is_integer())
    }
    plain = QTable(table, copy=False) if odd else table
    for title, values in odd.items():
        plain.replace_column(title, values)
    return plain


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
        table = explained(given)
        if "hdu" in table.colnames:
            table.remove_column("hdu")
        width = max(len(name) for name, _ in labelled)
        table.add_column(np.full(len(table), label, dtype=f"U{width}"), name="hdu", index=0)
        table["hdu"].info.description = COLUMNS["hdu"].meaning
        table["hdu"].info.meta = {UCD: COLUMNS["hdu"].ucd}
        table.meta.clear()  # metadata of libraries hold dates and versions
        tables.append(table)
    return tables[0] if len(tables) == 1 else vstack(tables, metadata_conflicts="silent")


def write_regions(catalogs: Sequence[tuple[str, Sources]], target: BinaryIO) -> None:
    """Write the sources as DS9 regions: ICRS where there are sky coordinates, else pixels.

    A source whose catalogue tells its shape is an ellipse, others are points; colours tell stars,
    galaxies, and those with a flag: see `astroclean.io.products.shapes`. A source without a finite
    position has no region; it is in the catalogue.

    Parameters
    ----------
    catalogs, target
        As for :func:`write_catalog`.
    """
    lines = ["# Region file format: DS9 version 4.1", *LEGEND]
    for label, sources in catalogs:
        lines += region_lines(sources, label)
    target.write(("\n".join(lines) + "\n").encode("utf-8"))


def write_stamps(
    catalogs: Sequence[tuple[str, Sources]],
    target: BinaryIO,
    *,
    unit: u.UnitBase | None = None,
    history: Sequence[str] = (),
) -> None:
    """Write the images of the deblended sources as one table.

    Parameters
    ----------
    catalogs, target
        As for :func:`write_catalog`.
    unit : astropy.units.UnitBase, optional
        Of the images, where they have one in common.
    history : sequence of str
        As for :func:`write_catalog`.
    """
    _write_hdu(stamps_hdu(catalogs, unit=unit), target, history)


def stamps_hdu(
    catalogs: Sequence[tuple[str, Sources]], *, unit: u.UnitBase | None = None
) -> fits.BinTableHDU:
    """Return the images of sources as a table, ``STAMPS``: a row a source and band.

    Parameters
    ----------
    catalogs : sequence of (str, Sources)
        As for :func:`write_catalog`.
    unit : astropy.units.UnitBase, optional
        Of the images; told where there are shares.

    Returns
    -------
    BinTableHDU
        ``hdu``, ``id``, ``band``, ``y0``, ``x0`` (the first pixel of the box, from 0), ``ny``,
        ``nx`` and ``data``: an image in each row where all boxes have one shape, else its pixels
        row by row, as many as there are. Where a source has a share, ``share`` in the same form,
        with no pixel where there is none.
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
    meaning = dict(_STAMP_COLUMNS)
    if any(stamp.share is not None for stamp in stamps):
        # Tables without shares are those of earlier versions to the byte, which tell no unit.
        text = None if unit is None else _fits_unit(unit)
        columns["data"] = _pixels("data", [stamp.data for stamp in stamps], text)
        columns["share"] = _pixels("share", [stamp.share for stamp in stamps], text)
        meaning.update(data=_MODEL, share=_SHARE)
    else:
        columns["data"] = _pixels("data", [stamp.data for stamp in stamps])
    hdu = fits.BinTableHDU.from_columns([columns[name] for name in meaning], name=STAMPS)
    for number, name in enumerate(meaning, start=1):
        hdu.header[f"TCOMM{number}"] = meaning[name]
    return hdu


def _fits_unit(unit: u.UnitBase) -> str | None:
    """Return a unit as TUNIT has it; None for that of plain numbers."""
    column = QTable({"data": np.zeros(1) << unit})
    return table_hdu(column, STAMPS).columns["data"].unit or None


def _pixels(
    name: str, images: Sequence[NDArray[np.float32] | None], unit: str | None = None
) -> fits.Column:
    """Return a column of images; one that is missing has no pixel."""
    pixels = [np.zeros(0, np.float32) if i is None else np.asarray(i, np.float32) for i in images]
    shapes = {image.shape for image in pixels}
    if len(shapes) == 1 and len(shape := shapes.pop()) == 2 and 0 not in shape:  # noqa: PLR2004
        ny, nx = shape
        form = {"format": f"{ny * nx}E", "dim": f"({nx},{ny})", "array": np.stack(pixels)}
        return fits.Column(name, unit=unit, **form)
    flat = np.empty(len(pixels), dtype=object)
    flat[:] = [image.ravel() for image in pixels]
    wide = sum(image.nbytes for image in pixels) > np.iinfo(np.int32).max
    return fits.Column(name, "QE()" if wide else "PE()", unit=unit, array=flat)
