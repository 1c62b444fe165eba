"""Catalogues that options name: each format gives the same sources."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable, Table
from astropy.wcs import WCS

from astroclean.core.image.frame import Frame
from astroclean.core.sources.given import given_sources
from astroclean.core.sources.places import PlaceOptions
from astroclean.core.sources.sources import Sources
from astroclean.core.stage.resources import TableResource
from astroclean.errors import FitsReadError, StageError
from astroclean.io.products.catalogs import write_catalog, write_regions
from astroclean.io.resources import file_digest, load_resource

if TYPE_CHECKING:
    from pathlib import Path

    from astropy.coordinates import SkyCoord

X, Y = np.array([3.0, 10.25, 30.5]), np.array([2.0, 8.5, 20.125])
FORMATS = {
    "ecsv": "ascii.ecsv",
    "csv": "ascii.csv",
    "fits": "fits",
    "fits.gz": "fits",
    "vot": "votable",
    "xml": "votable",
}


def read(path: Path) -> QTable:
    loaded = load_resource(TableResource(path.name), base=path.parent)
    assert isinstance(loaded, TableResource)
    assert loaded.digest == file_digest(path)
    return loaded.table


def refusal(path: Path) -> str:
    with pytest.raises(FitsReadError) as caught:
        read(path)
    return str(caught.value)


def frame() -> Frame:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [150.0, 60.0], [20.0, 15.0], [-1e-4, 1e-4]
    wcs.wcs.set()
    return Frame(np.zeros((30, 40)), unit="adu", wcs=wcs)


def sky() -> SkyCoord:
    return frame().wcs.pixel_to_world(X, Y).icrs


def assert_found(table: QTable, *, listed: tuple[int, ...] = (0, 1, 2)) -> Sources:
    given = given_sources(table, frame(), PlaceOptions(), where="test")
    sources = given.sources
    assert not given.outside
    found = [np.asarray(sources.table[name]) for name in ("x", "y")]
    assert np.allclose(found, [X[[*listed]], Y[[*listed]]], rtol=0, atol=1e-6)
    return sources


class TestTables:
    @pytest.mark.parametrize("suffix", FORMATS)
    def test_sky_positions_with_an_empty_cell(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"stars.{suffix}"
        table = Table({"NUMBER": [5, 6, 7], "RA_ICRS": sky().ra.deg, "DE_ICRS": sky().dec.deg})
        for name in ("RA_ICRS", "DE_ICRS"):
            table[name] = MaskedColumn(table[name], mask=[False, True, False], unit="deg")
        table.write(path, format=FORMATS[suffix])
        with pytest.raises(StageError, match=r"1 sources have no position .*ids 6"):
            assert_found(read(path))
        sources = assert_found(read(path)[[0, 2]], listed=(0, 2))
        assert [*sources.table["id"]] == [5, 7]

    @pytest.mark.parametrize("suffix", FORMATS)
    def test_pixels_of_sextractor(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"stars.{suffix}"
        table = QTable({"X_IMAGE": (X + 1) * u.pix, "Y_IMAGE": (Y + 1) * u.pix, "name": [*"abc"]})
        table.write(path, format=FORMATS[suffix])
        assert_found(read(path))

    @pytest.mark.parametrize("suffix", ["ecsv", "fits"])
    def test_coordinates_as_one_column(self, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"stars.{suffix}"
        QTable({"coord": sky().galactic}).write(path, format=FORMATS[suffix])
        assert_found(read(path))

    def test_what_is_no_table_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "stars.ecsv"
        path.write_text("nothing of the kind")
        told = refusal(path)
        assert told.startswith(f"{path}: cannot be read as a table")
        assert told.endswith("VOTables and DS9 regions (.reg) are understood.")


def without_regions() -> None:
    pytest.importorskip("regions", reason="needs the extra astroclean[regions]")


class TestRegions:
    @pytest.fixture(autouse=True)
    def _package(self) -> None:
        without_regions()

    def written(self, folder: Path, text: str, name: str = "a.reg") -> Path:
        path = folder / name
        path.write_text(f"# Region file format: DS9 version 4.1\nglobal color=green\n{text}")
        return path

    @pytest.mark.parametrize("name", ["a.reg", "A.REG"])
    def test_pixels_count_from_one_in_ds9(self, name: str, tmp_path: Path) -> None:
        text = (
            "image\ncircle(4,3,2.5)\npoint(11.25,9.5) # point=x text={a}\nbox(31.5,21.125,4,2,30)"
        )
        table = read(self.written(tmp_path, text, name))
        assert table.colnames == ["id", "x", "y", "radius"]
        assert [*table["id"]] == [1, 2, 3]
        assert np.array_equal(table["radius"], [2.5, np.nan, np.nan], equal_nan=True)
        assert np.array_equal(assert_found(table).table["radius"], table["radius"], equal_nan=True)

    @pytest.mark.parametrize("system", ["icrs", "fk5", "galactic"])
    def test_sky_of_any_system(self, system: str, tmp_path: Path) -> None:
        at = sky().transform_to(system).spherical
        lon, lat = at.lon.deg, at.lat.deg
        text = f"{system}\ncircle({lon[0]!r},{lat[0]!r},0.5')\npoint({lon[1]!r},{lat[1]!r})\n"
        text += f'ellipse({lon[2]!r},{lat[2]!r},3",2",45)'
        table = read(self.written(tmp_path, text.replace("np.float64(", "").replace("),", ",")))
        assert table.colnames == ["id", "ra", "dec", "radius"]
        assert table["ra"].unit == table["dec"].unit == u.deg
        assert table["radius"].unit == u.arcsec
        assert np.allclose(table["radius"].value, [30, np.nan, np.nan], equal_nan=True)
        assert_found(table)

    @pytest.mark.parametrize("on_sky", [True, False])
    def test_the_regions_that_a_run_writes_are_read_again(
        self, on_sky: bool, tmp_path: Path
    ) -> None:
        sources = Sources(QTable({"id": [1, 2, 3], "x": X, "y": Y}))
        sources = sources.with_sky(frame().wcs) if on_sky else sources
        path = tmp_path / "x_sources.reg"
        with path.open("wb") as stream:
            write_regions([("[SCI,1]", sources)], stream)
        table = read(path)
        # The package writes eight decimals of a degree.
        found = given_sources(table, frame(), PlaceOptions(), where="test").sources
        assert ("ra" in table.colnames) is on_sky
        assert np.allclose([found.table["x"], found.table["y"]], [X, Y], rtol=0, atol=2e-3)

    @pytest.mark.parametrize("on_sky", [True, False])
    def test_a_source_without_a_position_has_no_region_and_the_others_have(
        self, on_sky: bool, tmp_path: Path
    ) -> None:
        places = QTable({"id": [1, 2, 3], "x": [*X[:2], np.nan], "y": [Y[0], np.inf, Y[2]]})
        places["a"] = [np.nan] * 3  # an ellipse is not needed
        sources = Sources(places)
        sources = sources.with_sky(frame().wcs) if on_sky else sources
        path = tmp_path / "x_sources.reg"
        with path.open("wb") as stream:
            write_regions([("[SCI,1]", sources)], stream)
        assert len(read(path)) == 1
        for suffix in (".ecsv", ".fits"):
            table = tmp_path / f"x{suffix}"
            with table.open("wb") as stream:
                write_catalog([("[SCI,1]", sources)], stream, suffix=suffix)
            assert len(QTable.read(table)) == 3

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (
                'fk5\ncircle(10,20,5")\nimage\npoint(3,4)\npoint(4,4)',
                "mixes regions on the sky and in pixels (got 1 on the sky, 2 in pixels). Save all ",
            ),
            (
                "image\ncircle(1,2,3)\npolygon(1,1,2,2,3,1)\nline(1,2,3,4)\nline(2,2,3,4)",
                (
                    "has regions without a centre of their own (got 2 line: region 3, 4 of 4; "
                    "1 polygon: region 2 of 4). Points, "
                ),
            ),
            ("image\n# text(3,4) text={NGC 1}", "(got 1 text: region 1 of 1)"),
            ("image\ncircle(1,2,3)\n-circle(1,2,1)", "has excluded regions, which are no sources"),
            ("", "has no region. Points,"),
            (
                "image\ncircle(1,2,3)\nphysical\ncircle(3,4,5)",
                '"physical" frame or shape is not supported',
            ),
            ("circle(1,2,3)", "coordinate frame was not found"),
            ("fk5\ncircle(10,20,5p)", "cannot be read as DS9 regions: Cannot parse"),
        ],
        ids=["mixed", "polygon", "text", "excluded", "empty", "skipped", "no system", "unit"],
    )
    def test_what_would_lose_or_misplace_a_source_is_refused(
        self, text: str, told: str, tmp_path: Path
    ) -> None:
        path = self.written(tmp_path, text)
        message = refusal(path)
        assert message.startswith(f"{path}: ")
        assert told in message

    def test_how_regions_are_drawn_does_not_matter(self, tmp_path: Path) -> None:
        text = "image\ncircle(4,3,2) # color=red color=blue width=x"
        text += "\npoint(5,5) # dash=1 point=diamond 11"
        assert len(read(self.written(tmp_path, text))) == 2


def test_a_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "regions", None)
    path = tmp_path / "a.reg"
    path.write_text("image\npoint(1,1)\n")
    assert refusal(path) == (
        f"{path}: DS9 regions need the package regions. pip install 'astroclean[regions]'."
    )
