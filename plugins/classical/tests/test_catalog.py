"""`catalog`: sources of a catalogue as they are given, in any format; what is wrong is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import astropy.units as u
import numpy as np
import pytest
from astroclean_classical.psf_subtract.stage import PsfSubtract, PsfSubtractOptions
from astroclean_classical.sources.given import Catalog, CatalogOptions
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, QTable, Table
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.core.stage.results import Outcome
from astroclean.core.stage.scope import Chunk
from astroclean.errors import AstrocleanWarning, StageError, SuspectWarning
from astroclean.io.resources import load_resources
from astroclean.testing.contracts import DeblenderContract

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (40, 60)
PLACES = {12: (10.25, 30.5), 5: (50.0, 7.75), 900: (33.3, 20.0)}
quiet = pytest.mark.filterwarnings("ignore::astroclean.errors.AstrocleanWarning")


def wcs() -> WCS:
    made = WCS(naxis=2)
    made.wcs.ctype, made.wcs.crval, made.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150, 2], [20, 20]
    made.wcs.cdelt = [-1e-4, 1e-4]
    return made


def frame(**fields: Any) -> Frame:
    noise = np.random.default_rng(3).normal(0, 1, SHAPE).astype(np.float32)
    return Frame(fields.pop("data", noise), unit="adu", **fields)


def listed(**more: Any) -> QTable:
    x, y = np.array(list(PLACES.values())).T
    return QTable({"id": list(PLACES), "x": x, "y": y, **more})


def found(table: Any, image: Frame | None = None, **options: Any) -> QTable:
    stage = Catalog(CatalogOptions(file=table, **options))
    sources = stage.run(frame() if image is None else image).frame.sources
    assert sources is not None
    return sources.table


def assert_placed(table: QTable, shift: float = 0) -> None:
    assert table["id"].tolist() == sorted(PLACES)
    for row in table:
        expected = np.array(PLACES[int(row["id"])]) - shift
        np.testing.assert_allclose([row["x"], row["y"]], expected, atol=1e-4)


@quiet
class TestContract(DeblenderContract):
    plugin = "catalog"
    options: ClassVar[dict[str, Any]] = {
        "file": QTable({"id": [3, 8, 70], "x": [5.0, 30.0, 21.0], "y": [3.0, 50.0, 31.5]})
    }


@quiet
class TestPlaces:
    @pytest.mark.parametrize("suffix", ["ecsv", "csv", "fits", "vot"])
    def test_formats(self, suffix: str, tmp_path: Path) -> None:
        table = listed(flux=[1.0, 2.0, 3.0])
        if suffix != "csv":
            table["flux"] = [1.0, 2.0, 3.0] * u.Jy
        path = tmp_path / f"mine.{suffix}"
        form = {"format": "votable"} if suffix == "vot" else {}
        table.write(path, **form)
        options = load_resources(CatalogOptions(file="mine." + suffix), base=tmp_path)
        sources = Catalog(options).run(frame()).frame.sources
        assert sources is not None
        assert_placed(sources.table)
        values = sources.table["flux"]
        assert np.asarray(getattr(values, "value", values)).tolist() == [2.0, 1.0, 3.0]
        assert suffix == "csv" or values.unit == u.Jy

    def test_sky(self) -> None:
        sky = wcs().pixel_to_world(*np.array(list(PLACES.values())).T)
        both = {"x": np.zeros(3), "y": np.zeros(3)}
        table = QTable({"id": list(PLACES), "RA": sky.ra, "Dec": sky.dec, **both})
        assert_placed(found(table, frame(wcs=wcs())))
        assert_placed(found(QTable({"id": list(PLACES), "coord": SkyCoord(sky)}), frame(wcs=wcs())))
        assert (found(table, frame(wcs=wcs()), coordinates="pixels")["x"] == 0).all()
        assert (found(table)["x"] == 0).all()  # without a WCS

    @pytest.mark.parametrize(("first", "shift"), [(None, 0), (0, 0), (1, 1)])
    def test_how_pixels_count_is_an_option(self, first: Any, shift: int) -> None:
        assert_placed(found(listed(), first_pixel=first), shift)

    def test_names_of_sextractor_count_from_one(self) -> None:
        table = Table(listed())
        table.rename_columns(["id", "x", "y"], ["NUMBER", "X_IMAGE", "Y_IMAGE"])
        table["A_IMAGE"], table["THETA_IMAGE"] = [1.5, 2.0, 3.0], [10.0, 20.0, 30.0]
        told = found(table)
        assert_placed(told, 1)
        assert told["a"].to_value("pix").tolist() == [2.0, 1.5, 3.0]
        assert told["theta"].unit == u.deg

    def test_rows_of_this_frame_are_taken_of_several(self) -> None:
        table = listed(hdu=["[SCI,1]", "[SCI,2]", "[SCI,1]"])
        assert found(table, frame(frame_id="x.fits[SCI,2]"))["id"].tolist() == [5]
        with pytest.raises(StageError, match=r"several frames.*SCI,1.*SCI,2"):
            found(table, frame(frame_id="x.fits[0]"))

    def test_pixels_of_another_frame_are_refused_and_the_sky_is_taken(self) -> None:
        other = listed(hdu=["[SUPERRES,1]"] * 3)
        with pytest.raises(StageError, match=r"pixels of another frame.*\[SUPERRES,1\]"):
            found(other, frame(frame_id="x.fits[SCI,1]"))
        sky = wcs().pixel_to_world(*np.array(list(PLACES.values())).T)
        other["ra"], other["dec"] = sky.ra, sky.dec
        other["x"] += 7  # of other pixels, which is no contradiction
        image = frame(frame_id="x.fits[SCI,1]", wcs=wcs())
        with pytest.warns(AstrocleanWarning, match=r"names \[SUPERRES,1\], another frame.*sky"):
            assert_placed(found(other, image))
        with pytest.raises(StageError, match="pixels of another frame"):
            found(other, image, coordinates="pixels")

    @pytest.mark.parametrize("label", ["[SCI,1]", "SCI,1", ""])
    def test_a_frame_is_named_with_its_brackets_or_without(self, label: str) -> None:
        assert_placed(found(listed(hdu=[label] * 3), frame(frame_id="x.fits[SCI,1]")))

    @given(top=st.integers(0, 30), y=st.floats(-0.5, SHAPE[0] - 0.5))
    def test_each_is_in_one_chunk_with_its_id(self, top: int, y: float) -> None:
        table = QTable({"id": [77], "x": [3.0], "y": [y]})
        whole = frame()
        whole_row = found(table, whole)
        count = 0
        for rows in (slice(0, top), slice(top, SHAPE[0])):
            if rows.stop == rows.start:
                continue
            part = whole[rows].replace(chunk=Chunk((rows.start, 0), SHAPE))
            told = found(table, part)
            count += len(told)
            if len(told):
                assert told["id"].tolist() == [77]
                assert told["y"][0] + rows.start == pytest.approx(whole_row["y"][0])
        assert count == len(whole_row)


class TestWords:
    def test_a_note_tells_how_pixels_were_counted(self) -> None:
        with pytest.warns(
            AstrocleanWarning, match=r"first pixel is 0 in columns x, y.*first_pixel = 1"
        ):
            found(listed())

    def test_sources_off_the_frame_are_told(self) -> None:
        table = listed()
        table["x"][1] = 60.6
        table.meta["astroclean"] = "0.1.0"  # which counts from 0
        with pytest.warns(AstrocleanWarning, match=r"1 sources .* off the frame: ids 5"):
            result = Catalog(CatalogOptions(file=table)).run(frame())
        assert result.metrics["sources off the frame"] == 1
        assert result.metrics["sources"] == 2

    def test_a_catalogue_without_rows_is_noted(self, tmp_path: Path) -> None:
        (tmp_path / "none.csv").write_text("id,x,y\n")
        options = load_resources(CatalogOptions(file="none.csv", first_pixel=0), base=tmp_path)
        with pytest.warns(AstrocleanWarning, match="stage 'catalog': the catalogue has no rows"):
            Catalog(options).run(frame())

    def test_pixels_that_contradict_the_sky_are_told(self) -> None:
        image = frame(wcs=wcs())
        sky = image.wcs.pixel_to_world(*np.array(list(PLACES.values())).T)
        table = listed(ra=sky.ra, dec=sky.dec)
        table["x"][[0, 2]] += 30
        with pytest.warns(AstrocleanWarning) as caught:
            assert_placed(found(table, image))
        (note,) = [str(one.message) for one in caught]
        assert "columns x, y place 2 of 3 sources elsewhere than ra, dec, by 30.0 pixels" in note

    @pytest.mark.parametrize(("shift", "columns"), [(0.7, ("x", "y")), (1, ("x_image", "y_image"))])
    def test_pixels_that_agree_with_the_sky_are_no_matter(
        self, shift: float, columns: tuple[str, str]
    ) -> None:
        image = frame(wcs=wcs())
        sky = image.wcs.pixel_to_world(*np.array(list(PLACES.values())).T)
        table = listed(ra=sky.ra, dec=sky.dec)
        table["x"] += shift
        table["y"] += shift if shift == 1 else 0
        table.rename_columns(["x", "y"], columns)
        assert_placed(found(table, image))  # a warning is an error here

    def test_a_catalogue_of_another_field_is_suspect(self) -> None:
        table = listed()
        table["x"] += 1000
        with pytest.warns(SuspectWarning, match="None lies on it"):
            result = Catalog(CatalogOptions(file=table, first_pixel=0)).run(frame())
        assert result.outcome == Outcome.NO_WORK

    @quiet
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"id": [1, 2, 2]}, r"'id' occur more than once.*got 2"),
            ({"id": ["a", "b", "c"]}, r"'id' must hold one whole number.*renam"),
            ({"id": [0, 1, 2]}, r"from 1 to 2147483647.*got 0"),
            ({"id": [1, 2, 1 << 40]}, r"from 1 to 2147483647"),
            ({"x": [1.0, np.nan, 2.0]}, r"1 sources have no position in column 'x'.*ids 5"),
            ({"y": MaskedColumn([1, 2, 3], mask=[1, 0, 1])}, r"2 sources .* 'y'.*ids 12, 900"),
            ({"x": ["1:2", "2:3", "3:4"]}, r"'x' .*one number a row"),
        ],
    )
    def test_what_is_wrong_is_refused(self, change: dict[str, Any], words: str) -> None:
        table = Table(listed())
        for name, values in change.items():
            table[name] = values
        with pytest.raises(StageError, match=rf"stage 'catalog'.*{words}"):
            found(table)

    def test_no_positions_no_wcs_no_file(self) -> None:
        table = Table({"id": [1], "alpha": [3.0]})
        with pytest.raises(StageError, match=r"no columns of positions.*id, alpha.*ra and dec"):
            found(table)
        sky = Table({"ra": [150.0], "dec": [2.0]})
        with pytest.raises(StageError, match="no celestial WCS"):
            found(sky)
        with pytest.raises(StageError, match="coordinates = 'pixels'"):
            found(sky, frame(wcs=wcs()), coordinates="pixels")
        with pytest.raises(StageError, match=r"no catalogue.*file ="):
            Catalog(CatalogOptions()).check_header(frame())


@quiet
def test_the_light_at_given_places_is_taken_out() -> None:
    psf = Psf.gaussian(fwhm_pixels=2.5)
    truth = {number: 500.0 + 10 * number for number in PLACES}
    image = frame().data.astype(float)
    for number, (x, y) in PLACES.items():
        drawn = psf.drawn_at(x, y, flux=truth[number])
        rows, columns = (
            slice(o, o + n) for o, n in zip(drawn.origin, drawn.data.shape, strict=True)
        )
        box = (slice(max(rows.start, 0), rows.stop), slice(max(columns.start, 0), columns.stop))
        part = drawn.data[box[0].start - rows.start :, box[1].start - columns.start :]
        target = image[box]
        target += part[: target.shape[0], : target.shape[1]]
    before = frame(data=image.astype(np.float32), psf=psf, wcs=wcs())
    listing = Catalog(CatalogOptions(file=listed(), coordinates="pixels")).run(before).frame
    options = PsfSubtractOptions(fix_positions=True, order=0)
    after = PsfSubtract(options).run(listing).frame
    table = after.sources.table
    assert table["id"].tolist() == sorted(PLACES)
    assert {"ra", "dec"} <= set(table.colnames)
    for row in table:
        assert row["flux"].value == pytest.approx(truth[int(row["id"])], rel=0.1)
    assert np.abs(after.data).max() < 6
