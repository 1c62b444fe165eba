"""Columns of catalogues: words of the IVOA's list, units, sums and history, in all formats."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse, parse_single_table
from astropy.io.votable.ucd import check_ucd
from astropy.table import QTable, Table

from astroclean import __version__
from astroclean.core.image.frame import Frame
from astroclean.core.sources.columns import COLUMNS, UCD, catalogue_table, column_of, explained
from astroclean.core.sources.source_planes import PLANE_COLUMNS
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.io.products.catalogs import write_catalog, write_stamps

if TYPE_CHECKING:
    from pathlib import Path

BANDS = ("flux_250", "flux_250_err", "aperture_5.0", "annulus_5.0_err")
HISTORY = ("astroclean sep 0.1.0", "  thresh = 1.5")
SUFFIXES = pytest.mark.parametrize("suffix", [".fits", ".ecsv", ".vot"])


@pytest.mark.parametrize("name", [*COLUMNS, *BANDS])
def test_each_is_of_the_controlled_vocabulary(name: str) -> None:
    column = column_of(name)
    assert column is not None
    assert check_ucd(column.ucd, check_controlled_vocabulary=True)
    assert column.meaning
    assert column.meaning.isascii()


def written(path: Path, table: QTable) -> Path:
    with path.open("wb") as target:
        write_catalog([("[SCI,1]", Sources(table))], target, suffix=path.suffix, history=HISTORY)
    return path


@SUFFIXES
def test_they_are_written_and_come_back(suffix: str, tmp_path: Path) -> None:
    table = QTable({"id": [1, 2], "x": [1.0, 2.0], "y": [1.0, 2.0], "own": [3, 4], "odd": [5, 6]})
    for name in PLANE_COLUMNS:
        table[name] = np.array([0, 1], dtype=COLUMNS[name].type)
    table["planes"][1] = 1 << 31
    table["flux"], table["theta"] = [3.0, 4.0] * u.electron / u.s, [5.0, 6.0] * u.deg
    table["own"].info.meta, table["own"].info.description = {UCD: "meta.number"}, "of my own"
    path = written(tmp_path / f"x_sources{suffix}", table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", u.UnitsWarning)
        found = Sources.read(path).table
    known = {name: COLUMNS[name].ucd for name in table.colnames if name in COLUMNS}
    ucds = {n: (found[n].info.meta or {}).get(UCD) for n in found.colnames}
    assert ucds == known | {"own": "meta.number", "odd": None}
    assert found["planes"].tolist() == [0, 1 << 31]
    assert found["own"].info.description == "of my own"
    assert found["flux"].info.description == COLUMNS["flux"].meaning
    assert found["flux"].unit == u.electron / u.s
    assert found["theta"].unit == u.deg
    assert not table["x"].info.meta  # the catalogue itself is not modified


def test_cards_of_the_table(tmp_path: Path) -> None:
    table = QTable({"id": [1], "x": [1.0], "y": [1.0], "flux": [2.0] * u.Jy})
    header = fits.getheader(written(tmp_path / "a.fits", table), 1)
    number = next(n for n in range(1, 6) if header[f"TTYPE{n}"] == "flux")
    assert header[f"TUCD{number}"] == "phot.flux"
    assert header[f"TCOMM{number}"] == COLUMNS["flux"].meaning
    assert header[f"TUNIT{number}"] == "Jy"
    assert list(header["HISTORY"]) == list(HISTORY)
    assert header["ACVERS"] == __version__


@pytest.mark.parametrize("product", ["catalogue", "stamps"])
def test_sums_hold_and_tell_no_time(product: str, tmp_path: Path) -> None:
    stamp = SourceStamp(1, (0, 0), np.ones((3, 3), dtype=np.float32))
    sources = Sources(QTable({"id": [1], "x": [1.0], "y": [1.0]}), stamps=(stamp,))
    path = tmp_path / "a.fits"
    with path.open("wb") as target:
        if product == "stamps":
            write_stamps([("[0]", sources)], target)
        else:
            write_catalog([("[0]", sources)], target, suffix=".fits")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path, checksum=True) as hdus:
            header = hdus[1].header
            assert {"CHECKSUM", "DATASUM"} <= set(header)
            assert "updated" not in header.comments["CHECKSUM"]
    damaged = bytearray(path.read_bytes())
    damaged[-2880] ^= 1
    path.write_bytes(damaged)
    with pytest.warns(UserWarning, match="verification failed"), fits.open(path, checksum=True):
        pass


@pytest.mark.parametrize("on_the_sky", [True, False])
def test_a_votable_tells_the_system_of_the_sky(on_the_sky: bool, tmp_path: Path) -> None:
    table = QTable({"id": [1], "x": [1.0], "y": [1.0]})
    if on_the_sky:
        table["ra"], table["dec"] = [150.0] * u.deg, [2.0] * u.deg
    path = written(tmp_path / "a.vot", table)
    (resource,) = parse(path).resources
    systems = [(one.ID, one.system) for one in resource.coordinate_systems]
    assert systems == ([("icrs", "ICRS")] if on_the_sky else [])
    refers = {f.name: f.ref for f in resource.tables[0].fields if f.ref}
    assert refers == (dict.fromkeys(("ra", "dec"), "icrs") if on_the_sky else {})
    assert Sources.read(path).table["id"].tolist() == [1]


def test_history_of_text_formats(tmp_path: Path) -> None:
    table = QTable({"id": [1], "x": [1.0], "y": [1.0]})
    ecsv = Table.read(written(tmp_path / "a.ecsv", table))
    assert (ecsv.meta["astroclean"], ecsv.meta["history"]) == (__version__, list(HISTORY))
    votable = parse_single_table(written(tmp_path / "a.vot", table))
    infos = [(i.name, i.value) for i in votable._votable.resources[0].infos]
    assert infos == [("astroclean", __version__), *(("history", line) for line in HISTORY)]


def test_a_plugins_own_stays() -> None:
    table = QTable({"x": [1.0], "flux_radius": [2.0]})
    table["x"].info.meta = {UCD: "pos.bodyrc.x", "more": 1}
    table["x"].info.description = "mine"
    told = explained(table)
    assert told["x"].info.meta == {UCD: "pos.bodyrc.x", "more": 1}
    assert told["x"].info.description == "mine"
    assert not told["flux_radius"].info.meta  # no flux in a band of that name


def test_units_are_those_of_the_frame() -> None:
    frame = Frame(np.zeros((4, 5), np.float32), unit="adu")
    values = {"id": [7], "flux": [2.0], "flux_covariance": [3.0], "peak": [1.0], "a": [1.5]}
    table = catalogue_table({**values, "flux_250": [4.0] * u.mJy}, frame, meanings={"id": "mine"})
    units = {name: str(getattr(table[name], "unit", None)) for name in table.colnames}
    assert units == {
        "id": "None",
        "flux": "adu",
        "flux_covariance": "adu2",
        "peak": "adu",
        "a": "pix",
        "flux_250": "mJy",
    }
    assert table["id"].info.description == "mine"
    assert table["flux_250"].info.description == "flux in the band 250"
    with pytest.raises(KeyError, match="unheard"):
        catalogue_table({"unheard": [1]}, frame)
