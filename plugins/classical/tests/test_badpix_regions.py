"""`badpix` with DS9 regions: exactly the pixels that were drawn, on the frame that was meant."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astroclean_classical.badpix import BadPixels, BadPixelsOptions
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import astroclean
from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.sources.sources import Sources
from astroclean.errors import AstrocleanWarning, FitsReadError, StageError
from astroclean.io.products.catalogs import write_regions
from astroclean.io.resources import load_resources
from astroclean.simulate.exposure import write_exposure
from astroclean.testing.chunks import run_in_chunks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

regions = pytest.importorskip("regions", reason="needs the extra astroclean[regions]")

SHAPE = (60, 80)


def sky(shape: tuple[int, int] = SHAPE) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [150.0, 2.0], [41.0, 31.0]
    wcs.wcs.cd = np.array([[-1.0, 0.0], [0.0, 1.0]]) / 3600
    wcs.array_shape = shape
    return wcs


def frame(frame_id: str = "x.fits[SCI,1]", wcs: WCS | None = None) -> Frame:
    return Frame(np.zeros(SHAPE), unit="adu", frame_id=frame_id, wcs=wcs)


def stage(text: str, folder: Path, **options: object) -> BadPixels:
    path = folder / "x.reg"
    path.write_text(f"# Region file format: DS9 version 4.1\nglobal color=green\n{text}\n")
    named = BadPixelsOptions(regions=str(path), **options)
    return BadPixels(load_resources(named, base=folder))


def flags(text: str, folder: Path, on: Frame | None = None, **options: object) -> np.ndarray:
    return stage(text, folder, **options).run(frame() if on is None else on).frame.flags


def drawn(text: str, folder: Path, on: Frame | None = None) -> np.ndarray:
    return (flags(text, folder, on) & MaskPlane.BAD_PIXEL) != 0


COORDINATE = st.floats(-8, 88, allow_nan=False)
SIDE = st.floats(0.01, 50, allow_nan=False)


@given(x=COORDINATE, y=st.floats(-8, 68), width=SIDE, height=SIDE, excluded=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_box_marks_the_pixels_whose_centres_lie_in_it(
    x: float, y: float, width: float, height: float, excluded: bool
) -> None:
    box = regions.RectanglePixelRegion(regions.PixCoord(x, y), width, height)
    everything = regions.RectanglePixelRegion(regions.PixCoord(39.5, 29.5), 80, 60)
    rows, columns = np.indices(SHAPE)
    inside = (np.abs(columns - x) < width / 2) & (np.abs(rows - y) < height / 2)
    box.meta["include"] = not excluded
    made = BadPixels(
        BadPixelsOptions(regions=[box, everything] if excluded else [box], limits={"BAD_PIXEL": 1})
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstrocleanWarning)
        if abs(x - 39.5) > width / 2 + 41 or abs(y - 29.5) > height / 2 + 31:
            with pytest.raises(StageError, match="lie off the frame"):
                made.run(frame())
            return
        if inside.any():
            found = made.run(frame()).frame.where("BAD_PIXEL")
            assert np.array_equal(found, ~inside if excluded else inside)


def test_shapes_count_from_one_as_ds9_does(tmp_path: Path) -> None:
    rows, columns = np.indices(SHAPE)
    assert np.argwhere(drawn("image\npoint(11,21)", tmp_path)).tolist() == [[20, 10]]
    # On the border of two pixels it marks one of them, as elsewhere.
    assert np.argwhere(drawn("image\npoint(11.5,21)", tmp_path)).tolist() == [[20, 11]]
    circle = (columns - 10) ** 2 + (rows - 20) ** 2 < 3.5**2
    assert np.array_equal(drawn("image\ncircle(11,21,3.5)", tmp_path), circle)
    ring = circle & ((columns - 10) ** 2 + (rows - 20) ** 2 >= 1.5**2)
    assert np.array_equal(drawn("image\nannulus(11,21,1.5,3.5)", tmp_path), ring)
    triangle = (rows > 4) & (columns > 4) & (rows + columns < 20)
    text = "image\npolygon(5.5,5.5,15.9,5.5,5.5,15.9)"
    assert np.array_equal(drawn(text, tmp_path), triangle)


def test_excluded_regions_win_wherever_they_stand(tmp_path: Path) -> None:
    first = drawn("image\n-circle(20,20,4)\nbox(20,20,20,20,0)", tmp_path)
    last = drawn("image\nbox(20,20,20,20,0)\n-circle(20,20,4)", tmp_path)
    assert np.array_equal(first, last)
    assert not first[19, 19]
    assert first[19, 12]


def test_the_plane_is_chosen_and_told(tmp_path: Path) -> None:
    made = stage("image\nbox(20,20,4,4,0)", tmp_path, regions_plane="TRL")
    result = made.run(frame())
    assert result.frame.where("TRAIL").sum() == 9
    assert not result.frame.where("BAD_PIXEL").any()
    assert MaskPlane.TRAIL in made.provides().planes
    assert MaskPlane.TRAIL not in BadPixels().provides().planes
    for plane in ("NO_DATA", "REMOVED", "CR,TRL", "nonsense"):
        with pytest.raises(ValidationError):
            BadPixelsOptions(regions_plane=plane)


@pytest.mark.parametrize("system", ["image", "icrs", "galactic"])
def test_chunks_give_the_flags_of_the_whole_frame(system: str, tmp_path: Path) -> None:
    wcs = sky()
    whole = frame(wcs=wcs)
    places = [(20.0, 12.0), (40.0, 30.0), (60.5, 44.5)]
    lines = [system]
    for x, y in places:
        if system == "image":
            lines.append(f"box({x + 1},{y + 1},14,10,0)")
        else:
            at = wcs.pixel_to_world(x, y).transform_to(system).spherical
            lines.append(f'circle({at.lon.deg:.12f},{at.lat.deg:.12f},7")')
    # Borders that go through centres of pixels are where rounding would tell.
    made = stage("\n".join(lines), tmp_path)
    assert made.scope(whole).halo == 0
    expected = made.run(whole).frame.flags
    assert np.count_nonzero(expected)
    for rows in (7, 16, 59):
        assert np.array_equal(run_in_chunks(made, whole, rows=rows)["flags"], expected)


def test_on_the_sky_they_lie_where_the_wcs_says(tmp_path: Path) -> None:
    at = sky().pixel_to_world(50, 33)
    text = f'fk5\nbox({at.ra.deg!r},{at.dec.deg!r},5.2",3.2",0)'.replace("np.float64", "")
    found = drawn(text.replace("((", "(").replace("),", ","), tmp_path, frame(wcs=sky()))
    expected = np.zeros(SHAPE, dtype=bool)
    expected[32:35, 48:53] = True
    assert np.array_equal(found, expected)
    with pytest.raises(StageError, match="no celestial WCS"):
        drawn('fk5\ncircle(150,2,5")', tmp_path)


def test_a_region_is_of_the_frame_that_its_text_names(tmp_path: Path) -> None:
    text = (
        "image\nbox(10,10,3,3,0) # text={[SCI,2] hot corner}\nbox(30,30,3,3,0) # text={[sci, 1]}\n"
        'fk5\ncircle(150,2,2")'
    )
    with pytest.warns(AstrocleanWarning, match=r"other frames than \[SCI,1\]: 1 of \[SCI,2\]"):
        first = drawn(text, tmp_path, frame("x.fits[SCI,1]", sky()))
    with pytest.warns(AstrocleanWarning, match=r"other frames than \[SCI,2\]: 1 of \[sci, 1\]"):
        second = drawn(text, tmp_path, frame("x.fits[SCI,2]", sky()))
    assert first[29, 29]
    assert not first[9, 9]
    assert second[9, 9]
    assert not second[29, 29]
    assert first[30, 40]
    assert second[30, 40]


def test_regions_in_pixels_that_mark_every_detector_are_told(tmp_path: Path) -> None:
    with pytest.warns(AstrocleanWarning, match="1 regions in pixels name no frame"):
        assert drawn("image\nbox(9,9,2,2,0)", tmp_path, frame("x.fits[SCI,2]")).any()


def test_regions_that_mark_nothing_are_told_or_refused(tmp_path: Path) -> None:
    for text in ("image\ncircle(500,9,3)", "image\nbox(9,9,3,3,0)\n-box(-9,9,3,3,0)"):
        with pytest.raises(StageError, match=r"lie off the frame of 80 x 60 pixels.*1 of"):
            drawn(text, tmp_path)
    with pytest.warns(AstrocleanWarning, match="1 of 1 regions hold no centre of a pixel"):
        assert not drawn("image\ncircle(9.5,9.5,0.3)", tmp_path).any()
    for place in ("10,60", "330,2"):  # also where the frame's sky has no pixel at all
        with pytest.warns(AstrocleanWarning, match="1 of 1 regions on the sky lie off"):
            assert not drawn(f'fk5\ncircle({place},9")', tmp_path, frame(wcs=sky())).any()


def test_pixels_of_a_mosaic_are_not_those_of_its_colors(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="one color"):
        drawn("image\nbox(9,9,2,2,0)", tmp_path, frame("x.fits[0] G1"))


def test_sources_that_a_run_wrote_are_no_defects(tmp_path: Path) -> None:
    path = tmp_path / "x_sources.reg"
    with path.open("wb") as stream:
        write_regions([("[SCI,1]", Sources(QTable({"id": [1], "x": [9.0], "y": [9.0]})))], stream)
    text = path.read_text().partition("\n")[2]
    with pytest.warns(AstrocleanWarning, match="1 regions are sources"):
        assert drawn(text + "point(4,5)", tmp_path).nonzero() == (np.array([4]), np.array([3]))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no region"),
        ("physical\ncircle(3,4,5)", "save them in coordinates `image`"),
        ("circle(3,4,5)", "coordinate frame was not found"),
        ("image\nline(1,2,3,4)", "regions without an area"),
        ("image\npoint(4,5)\nline(1,2,3,4)", "1 line: region 2 of 2"),
        ("image\nvector(1,2,3,4)", "is not supported"),
        ("image\n-circle(3,4,5)", "only excluded regions"),
        ("image\n# text(3,4) text={here}", "no region but labels"),
        ("image\ncircle(3,4,5) || box(3,4,5,6,0)", "composite"),
    ],
)
def test_what_cannot_be_read_in_full_is_refused(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(FitsReadError) as error:
        drawn(text, tmp_path)
    assert told.lower() in str(error.value).lower()


def test_a_run_takes_the_drawing_of_each_file_and_does_a_file_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a", "b")):
        write_exposure(tmp_path / f"{name}.fits", seed=seed, shape=(90, 100))
    (tmp_path / "a.reg").write_text("image\nbox(20,30,3,3,0)\n")
    pipeline = {
        "schema": 1,
        "stage": [{"plugin": "badpix", "options": {"regions": "{stem}.reg"}}],
    }
    before = astroclean.run(pipeline, ["a.fits", "b.fits"], output="out", jobs=0)
    told = {file.input.rpartition("/")[2]: file for file in before.files}
    assert {file.status for file in before.files} == {"done"}
    assert not any("nothing was drawn" in note for note in told["a.fits"].notes)
    assert any("'{stem}.reg'" in note for note in told["b.fits"].notes)
    assert any(f"no '{tmp_path / 'b.reg'}'" in note for note in told["b.fits"].notes)
    with fits.open("out/a_clean.fits") as hdus:
        drawn_flags = hdus["FLAGS"].data & np.uint32(MaskPlane.BAD_PIXEL)
    assert np.argwhere(drawn_flags).min(axis=0).tolist() == [28, 18]
    assert np.count_nonzero(drawn_flags) == 9
    (tmp_path / "b.reg").write_text("image\npoint(20,30)\n")
    after = astroclean.run(pipeline, ["a.fits", "b.fits"], output="out", jobs=0)
    assert {f.input.rpartition("/")[2]: f.status for f in after.files} == {
        "a.fits": "up to date",
        "b.fits": "done",
    }


def test_from_python_a_template_is_refused_and_regions_are_taken() -> None:
    with pytest.raises(StageError, match="is not known"):
        astroclean.load_stage("badpix", regions="{stem}.reg").run(frame())
    circle = regions.CirclePixelRegion(regions.PixCoord(5, 5), 1.2)
    result = astroclean.load_stage("badpix", regions=[circle]).run(frame())
    assert result.frame.where("BAD_PIXEL").sum() == 5
    assert result.metrics["regions"] == 1


def test_on_a_real_frame(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    image = Frame.read(f"{real_data('hst_stis_m33_pair_top_flt.fits.gz')}[1]")
    at = image.wcs.celestial.pixel_to_world(600, 250).icrs
    text = f'icrs\ncircle({at.ra.deg:.9f},{at.dec.deg:.9f},0.5")'
    found = drawn(text, tmp_path, image)
    before = image.where("BAD_PIXEL")
    rows, columns = np.nonzero(found & ~before)
    assert abs(rows.mean() - 250) < 0.5
    assert abs(columns.mean() - 600) < 0.5
    area = np.pi * (0.5 / 0.0507) ** 2
    assert (found & ~before).sum() + before[240:261, 590:611].sum() == pytest.approx(area, rel=0.1)
