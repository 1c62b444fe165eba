"""What a run and a simulator write of sources can be read again, as it was."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_runs import run, sky, write_fits

from astroclean.core.image.frame import Frame
from astroclean.core.image.grid import Grid
from astroclean.core.psf.psf import Psf
from astroclean.core.sources.columns import COLUMNS
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.errors import FitsReadError, FrameError
from astroclean.io.fits.encode import encode_hdu
from astroclean.io.products.catalogs import stamps_hdu, write_catalog, write_stamps
from astroclean.registry.load import load_stage
from astroclean.simulate.blends import simulate_blends
from astroclean.simulate.write import write_scene

if TYPE_CHECKING:
    from pathlib import Path

PACKED_OR_NOT = [".ecsv", ".fits"]
SETTINGS = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def source_lists(draw: st.DrawFn) -> Sources:
    """Catalogues of any length with units, texts, truth values, NaN; images in several bands."""
    ids = draw(st.lists(st.integers(1, 10**6), unique=True, max_size=6))
    number = st.floats(-1e6, 1e6) | st.just(float("nan"))
    values = draw(st.lists(number, min_size=3 * len(ids), max_size=3 * len(ids)))
    x, y, flux = np.array(values).reshape(3, -1)
    unit = draw(st.sampled_from(["electron", "Jy", "electron / s", "adu", "MJy / sr", ""]))
    table = QTable({"id": np.array(ids, dtype=np.int32), "x": x, "y": y})
    table["flux"] = u.Quantity(flux, unit)
    table["removed"] = np.array([i % 2 == 0 for i in ids], dtype=bool)
    table["kind"] = np.array([f"class {i % 3}" for i in ids], dtype="U12")
    table["flux"].info.description = "sum of pixels"
    bands = draw(st.sampled_from([[""], ["g", "longer"]]))
    side = st.integers(1, 5)
    same = draw(st.none() | st.tuples(side, side))
    shares = draw(st.sampled_from(["none", "some", "all"]))
    stamps = []
    for source in draw(st.sets(st.sampled_from(ids))) if ids else ():
        for band in bands:
            shape = same or draw(st.tuples(side, side))
            origin = draw(st.tuples(st.integers(-9, 999), st.integers(-9, 999)))
            image = np.random.default_rng(source).normal(size=shape).astype(np.float32)
            has_share = shares == "all" or (shares == "some" and draw(st.booleans()))
            share = -2 * image if has_share else None
            stamps.append(SourceStamp(source, origin, image, band, share))
    return Sources(table, stamps=tuple(stamps))


def assert_same(found: Sources, given: Sources) -> None:
    assert found.table.colnames == given.table.colnames
    for name in given.table.colnames:
        mine, theirs = found.table[name], given.table[name]
        # FITS has one form for no unit and for a number without dimension.
        units = [getattr(c, "unit", None) or u.dimensionless_unscaled for c in (mine, theirs)]
        assert units[0] == units[1], name
        assert np.dtype(mine.dtype).kind == np.dtype(theirs.dtype).kind, name
        np.testing.assert_array_equal(mine, theirs)
        meanings = {theirs.info.description}
        if theirs.info.description is None and name in COLUMNS:
            meanings.add(COLUMNS[name].meaning)  # by those who write a catalogue
        assert mine.info.description in meanings
    assert [(s.id, s.band, s.origin) for s in found.stamps] == [
        (s.id, s.band, s.origin) for s in given.stamps
    ]
    for mine, theirs in zip(found.stamps, given.stamps, strict=True):
        assert mine.data.dtype == np.float32
        np.testing.assert_array_equal(mine.data, theirs.data)
        assert (mine.share is None) == (theirs.share is None)
        if mine.share is not None and theirs.share is not None:
            assert mine.share.dtype == np.float32
            np.testing.assert_array_equal(mine.share, theirs.share)


def write_all(folder: Path, lists: list[tuple[str, Sources]], suffix: str) -> tuple[Path, Path]:
    catalogue, stamps = folder / f"x_sources{suffix}", folder / "x_stamps.fits"
    with catalogue.open("wb") as target:
        write_catalog(lists, target, suffix=suffix)
    with stamps.open("wb") as target:
        write_stamps(lists, target)
    return catalogue, stamps


@SETTINGS
@given(sources=source_lists(), suffix=st.sampled_from(PACKED_OR_NOT))
def test_catalogue_and_images_come_back(sources: Sources, suffix: str, tmp_path: Path) -> None:
    catalogue, stamps = write_all(tmp_path, [("[SCI,1]", sources)], suffix)
    assert_same(Sources.read(catalogue, stamps=stamps), sources)


@SETTINGS
@given(first=source_lists(), second=source_lists(), suffix=st.sampled_from(PACKED_OR_NOT))
def test_of_several_frames_one_is_meant(
    first: Sources, second: Sources, suffix: str, tmp_path: Path
) -> None:
    if str(first.table["flux"].unit) != str(second.table["flux"].unit):
        second = first  # the tables of a file are joined, with the units of the first
    lists = [("[SCI,1]", first), ("[SCI,2]", second)]
    catalogue, stamps = write_all(tmp_path, lists, suffix)
    present = [(label, sources) for label, sources in lists if len(sources)]
    for label, sources in present:
        assert_same(Sources.read(catalogue, hdu=label, stamps=stamps), sources)
    if len(present) == 2:
        with pytest.raises(FitsReadError, match=r"several frames.*\[SCI,1\], \[SCI,2\]"):
            Sources.read(catalogue)
    with pytest.raises(FitsReadError, match="no sources of the frame"):
        Sources.read(catalogue, hdu="[SCI,7]")


def test_the_table_of_images_is_one_hdu_that_others_read(tmp_path: Path) -> None:
    table = QTable({"id": [1, 2], "x": [3.0, 8.0], "y": [4.0, 2.0]})
    images = [np.arange(6, dtype=np.float32).reshape(2, 3) + n for n in (0, 10)]
    same = tuple(SourceStamp(n + 1, (n, 7), image) for n, image in enumerate(images))
    other = (*same[:1], SourceStamp(2, (5, 6), np.ones((4, 1), np.float32)))
    for stamps in (same, other):
        target = io.BytesIO()
        write_stamps([("[0]", Sources(table, stamps=stamps))], target)
        with fits.open(io.BytesIO(target.getvalue())) as hdus:
            hdus.verify("exception")
            assert [hdu.name for hdu in hdus] == ["PRIMARY", "STAMPS"]
            rows = hdus["STAMPS"].data
            assert rows["id"].tolist() == [1, 2]
            for row, stamp in zip(rows, stamps, strict=True):
                np.testing.assert_array_equal(row["data"].ravel(), stamp.data.ravel())
            if stamps is same:
                assert rows["data"].shape == (2, 2, 3)


@pytest.mark.parametrize("one_shape", [True, False])
def test_models_and_shares_stand_side_by_side_with_their_unit(
    one_shape: bool, tmp_path: Path
) -> None:
    image = np.arange(6, dtype=np.float32).reshape(2, 3)
    first = SourceStamp(1, (0, 7), image, share=image + 1)
    second = SourceStamp(2, (5, 6), image if one_shape else image[:1], share=None)
    if one_shape:
        second = replace(second, share=-image)
    table = QTable({"id": [1, 2], "x": [3.0, 8.0], "y": [4.0, 2.0]})
    lists = [("[0]", Sources(table, stamps=(first, second)))]
    for unit, told in ((u.electron / u.s, "electron s-1"), (u.adu, "adu"), (u.one, None)):
        target = io.BytesIO()
        write_stamps(lists, target, unit=unit)
        with fits.open(io.BytesIO(target.getvalue())) as hdus:
            hdus.verify("exception")
            columns = hdus["STAMPS"].columns
            assert columns.names[-2:] == ["data", "share"]
            assert [columns[name].unit for name in ("data", "share")] == [told, told]
            assert hdus["STAMPS"].header["TCOMM8"] == "model: light of the source without noise"
            np.testing.assert_array_equal(
                hdus["STAMPS"].data["share"][0].ravel(), first.share.ravel()
            )
        path = tmp_path / "x_stamps.fits"
        path.write_bytes(target.getvalue())
        table.write(tmp_path / "x.ecsv", overwrite=True)
        assert_same(Sources.read(tmp_path / "x.ecsv", stamps=path), lists[0][1])


def test_without_shares_the_table_of_images_is_that_of_earlier_versions() -> None:
    """The bytes were written by the version before there were shares."""
    image = np.arange(6, dtype=np.float32).reshape(2, 3)
    table = QTable({"id": [1, 2], "x": [3.0, 8.0], "y": [4.0, 2.0]})
    stamps = (SourceStamp(1, (0, 7), image), SourceStamp(2, (5, 6), image[:1], "g"))
    found = []
    for listed in (stamps, stamps[:1]):
        hdu = stamps_hdu([("[0]", Sources(table, stamps=listed))], unit=u.adu)
        found.append(hashlib.sha256(encode_hdu(hdu)).hexdigest()[:16])
    assert found == ["632f7dfb026fe670", "54e26bd465323330"]


def test_an_image_that_does_not_fill_its_box_is_named(tmp_path: Path) -> None:
    table = QTable({"id": [3], "x": [0.0], "y": [0.0]})
    table.write(tmp_path / "x.ecsv")
    image = np.ones((2, 3), np.float32)
    stamp = SourceStamp(3, (0, 0), image, share=image)
    hdu = stamps_hdu([("[0]", Sources(table, stamps=(stamp,)))])
    hdu.data["ny"] = 4
    hdu.writeto(tmp_path / "x_stamps.fits")
    told = r"x_stamps\.fits: 'data' of source 3 must be .* 4 x 3 \(got 6 pixels\)"
    with pytest.raises(FitsReadError, match=told):
        Sources.read(tmp_path / "x.ecsv", stamps=tmp_path / "x_stamps.fits")


def test_images_of_earlier_versions_are_read(tmp_path: Path) -> None:
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for number, owner in ((1, "[SCI,1]"), (1, "[SCI,2]"), (2, "[SCI,2]")):
        hdu = fits.ImageHDU(np.full((2, 3), number, np.float32), name="STAMP")
        hdu.header.update(ACSCI=owner, SOURCEID=number, LTV1=-9, LTV2=4)
        hdus.append(hdu)
    hdus.writeto(tmp_path / "x_stamps.fits")
    table = QTable({"hdu": ["[SCI,2]"] * 2, "id": [1, 2], "x": [0.0, 1], "y": [0.0, 1]})
    table.write(tmp_path / "x.ecsv")
    found = Sources.read(tmp_path / "x.ecsv", stamps=tmp_path / "x_stamps.fits")
    assert [(s.id, s.origin, float(s.data.mean())) for s in found.stamps] == [
        (1, (-4, 9), 1.0),
        (2, (-4, 9), 2.0),
    ]


def test_a_simulated_scene_gives_its_sources_back(tmp_path: Path) -> None:
    scene = simulate_blends(seed=3, shape=(128, 128))
    assert scene.sources is not None
    _, truth = write_scene(scene, tmp_path, name="s", seed=3)
    found = Sources.read(truth, stamps=truth, segmentation=truth)
    assert_same(found, scene.sources)
    np.testing.assert_array_equal(found.segmentation, scene.sources.segmentation)


TAN = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 150.0,
    "CRVAL2": 2.0,
    "CRPIX1": 16.0,
    "CRPIX2": 12.0,
    "CUNIT1": "deg",
    "CUNIT2": "deg",
    "CDELT1": -0.5 / 3600,
    "CDELT2": 0.5 / 3600,
}
KEPT: dict[str, Any] = {"keep": ["sources", "segmentation", "unassigned"]}


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("before", [[], ["toy-finer"]])
def test_the_segmentation_of_a_run_comes_back_with_its_grid(
    before: list[str], tmp_path: Path
) -> None:
    write_fits(tmp_path / "x.fits", sky(), **TAN)
    run(tmp_path, *before, "sep", psf={"fwhm": "3 pixel"}, products=KEPT)
    out = tmp_path / "out"
    found = Sources.read(out / "x_sources.fits", segmentation=out / "x_clean.fits")
    assert len(found) > 0
    assert found.segmentation is not None
    assert found.grid is not None
    assert found.segmentation.dtype == np.int32
    assert found.grid.shape == ((48, 64) if before else (24, 32))
    assert (found.grid.step, found.grid.origin) == (0.5 if before else 1.0, (0.0, 0.0))
    for row in found.table:
        mine = found.segmentation[round(row["y"]), round(row["x"])]
        assert mine == row["id"]
        assert found.grid.wcs is not None
        place = found.grid.wcs.pixel_to_world(row["x"], row["y"])
        assert abs(place.ra - row["ra"]) < 1e-7 * u.deg
        assert abs(place.dec - row["dec"]) < 1e-7 * u.deg


@pytest.mark.usefixtures("toys")
def test_bits_and_labels_are_not_read_as_light(tmp_path: Path) -> None:
    write_fits(tmp_path / "x.fits", sky(), **TAN)
    run(tmp_path, "sep", products=KEPT)
    path = tmp_path / "out" / "x_clean.fits"
    with pytest.raises(FitsReadError, match=r"labels of sources.*Sources\.read.*'x_clean\.fits'"):
        Frame.read(f"{path}[SEGMENTATION]")
    Frame.read(path).write(tmp_path / "own.fits")
    with pytest.raises(FitsReadError, match=r"flags of \[SCI,1\].*'own\.fits\[SCI,1\]'\)\.flags"):
        Frame.read(f"{tmp_path / 'own.fits'}[FLAGS]")
    # What others call so is theirs to explain: it is read where it is addressed.
    fits.HDUList(
        [fits.PrimaryHDU(), fits.ImageHDU(np.ones((8, 9), np.float32), name="SEGMENTATION")]
    ).writeto(tmp_path / "other.fits")
    assert Frame.read(f"{tmp_path / 'other.fits'}[SEGMENTATION]", unit="adu").shape == (8, 9)


def test_the_truth_of_a_simulation_is_not_read_as_light(tmp_path: Path) -> None:
    scene = simulate_blends(seed=1, shape=(64, 64))
    _, truth = write_scene(scene, tmp_path, name="s", seed=1)
    for name, remedy in (("TRUTH", "getdata"), ("SEGMENTATION", r"Sources\.read")):
        with pytest.raises(FitsReadError, match=rf"not an image of the sky.*{remedy}"):
            Frame.read(f"{truth}[{name}]")
    assert Frame.read(f"{truth}[CLEAN]").unit == "electron"


@pytest.mark.usefixtures("toys")
def test_a_file_without_what_is_asked_for_says_so(tmp_path: Path) -> None:
    write_fits(tmp_path / "x.fits", sky(), **TAN)
    run(tmp_path, "sep")
    out = tmp_path / "out"
    with pytest.raises(FitsReadError, match=r"no HDU SEGMENTATION.*keep"):
        Sources.read(out / "x_sources.ecsv", segmentation=out / "x_clean.fits")
    with pytest.raises(FitsReadError, match="no images of sources"):
        Sources.read(out / "x_sources.ecsv", stamps=out / "x_clean.fits")


def test_images_are_told_apart_by_band() -> None:
    table = QTable({"id": [1, 2], "x": [0.0, 1.0], "y": [0.0, 1.0]})
    pixel = np.ones((1, 1), np.float32)
    stamps = tuple(SourceStamp(n, (0, 0), n * pixel, band) for band in "rg" for n in (1, 2))
    sources = Sources(table, stamps=stamps)
    assert sources.bands == ("r", "g")
    assert {n: (s.band, float(s.data[0, 0])) for n, s in sources.images("g").items()} == {
        1: ("g", 1.0),
        2: ("g", 2.0),
    }
    with pytest.raises(FrameError, match="several bands"):
        sources.images()
    with pytest.raises(FrameError, match="two images in one band"):
        Sources(table, stamps=(stamps[0], stamps[0]))
    with pytest.raises(FrameError, match="shape of its grid"):
        Sources(table, np.zeros((3, 4), np.int32), grid=Grid((3, 5)))


def test_stages_enter_the_grid() -> None:
    rng = np.random.default_rng(1)
    image = rng.normal(10, 1, (60, 70))
    drawn = Psf.gaussian(fwhm_pixels=3).drawn_at([20.2, 50], [30, 40.7], [900, 500])
    drawn.add_to(image)
    wcs = WCS(fits.Header(TAN))
    result = load_stage("sep").run(Frame(image, unit="adu", wcs=wcs))
    sources = result.frame.sources
    assert sources is not None
    assert sources.grid is not None
    assert sources.grid.shape == (60, 70)
    assert sources.grid.wcs is result.frame.wcs
    np.testing.assert_array_equal(result.layers["SEGMENTATION"].data, sources.segmentation)
