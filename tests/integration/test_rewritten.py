"""A calibrated image is written in place of the raw one: pixels, unit, header and all beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from toy_runs import digests, hdu_names, run, sky, write_fits, write_pipeline

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.errors import NeedError

if TYPE_CHECKING:
    from pathlib import Path

    from toy_runs import CommandLine

pytestmark = pytest.mark.usefixtures("toys")
CARDS: dict[str, Any] = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 150.0,
    "CRVAL2": 2.0,
    "CRPIX1": 16.0,
    "CRPIX2": 12.0,
    "CRPIX1P": 5.0,
    "LTV1": -7.0,
    "CDELT1": -0.5 / 3600,
    "CDELT2": 0.5 / 3600,
    "GAIN": 2.0,
    "SATURATE": 60000.0,
    "BIASSEC": "[1:3,1:24]",
    "DATAMAX": 5000.0,
    "NIGHT": "a card that stays",
}
RAW: dict[str, Any] = {"plugin": "toy-raw"}
INSIDE = np.s_[3:, 3:]


def expected(raw: Any) -> Any:
    return (2 * (raw[INSIDE].astype(np.float32) - 100)).astype(np.float32)


def written(folder: Path, name: str = "x_clean.fits") -> Any:
    return fits.open(folder / "out" / name)


def test_the_science_image_is_the_calibrated_one(tmp_path: Path) -> None:
    raw = sky(dtype="uint16")
    write_fits(tmp_path / "x.fits", raw, **CARDS)
    report = run(tmp_path, RAW)
    assert not report.files[0].suspect
    with written(tmp_path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "FLAGS", "UNCERT"]
        assert {hdu.data.shape for hdu in hdus} == {(21, 29)}
        assert hdus[0].data.dtype == np.dtype(">f4")
        np.testing.assert_array_equal(hdus[0].data, expected(raw))
        np.testing.assert_array_equal(hdus["UNCERT"].data, 5)
        low = raw[INSIDE] < 92
        assert low.any()
        np.testing.assert_array_equal(
            hdus["FLAGS"].data & int(MaskPlane.BAD_PIXEL) != 0, low, strict=False
        )
    assert report.files[0].frames[0].shape == (21, 29)
    assert report.files[0].frames[0].unit == "electron"
    assert report.files[0].frames[0].pixels_changed == 0
    assert report.files[0].frames[0].is_calibrated


def test_the_header_is_that_of_the_new_image(tmp_path: Path, fitsverify: Any) -> None:
    write_fits(tmp_path / "x.fits", sky(dtype="uint16"), **CARDS)
    run(tmp_path, RAW)
    with written(tmp_path) as hdus:
        header = hdus[0].header
        assert header["BUNIT"] == "electron"
        assert header["GAIN"] == 1
        assert header["NIGHT"] == "a card that stays"
        assert header["OVERSCAN"] == 100
        assert header["LTV1"] == -10
        assert header["CRPIX1P"] == 2
        for gone in ("BIASSEC", "SATURATE", "DATAMAX", "BZERO"):
            assert gone not in header
        star = WCS(fits.Header(CARDS)).pixel_to_world(20, 15)
        for hdu in hdus:
            x, y = WCS(hdu.header).world_to_pixel(star)
            assert (float(x), float(y)) == pytest.approx((17, 12), abs=1e-6)
    again = Frame.read(tmp_path / "out" / "x_clean.fits")
    assert again.unit.to_string() == "electron"
    assert again.detector.gain == 1
    assert again.detector.saturation is None
    assert fitsverify.counts(tmp_path / "out" / "x_clean.fits") == (0, 0)


def test_later_stages_are_compared_with_the_calibrated_image(tmp_path: Path) -> None:
    raw = sky()
    write_fits(tmp_path / "x.fits", raw, **CARDS)
    report = run(
        tmp_path,
        RAW,
        {"plugin": "toy-bright", "options": {"level": 1000}},
        "toy-fill",
        products={"keep": ["flags", "residual"]},
    )
    hits = (expected(raw) > 1000) | (raw[INSIDE] < 92)
    assert report.files[0].frames[0].pixels_changed == np.count_nonzero(hits)
    with written(tmp_path) as hdus:
        np.testing.assert_array_equal(hdus[0].data[~hits], expected(raw)[~hits])
        assert (hdus["RESIDUAL"].data[~hits] == 0).all()
        assert np.count_nonzero(hdus["RESIDUAL"].data[hits] > 1000) == 3


@pytest.mark.parametrize("packed", [False, True])
def test_what_belongs_to_the_image_is_trimmed_with_it(
    tmp_path: Path, fitsverify: Any, packed: bool
) -> None:
    raw = sky(dtype="int16")
    kind = fits.CompImageHDU if packed else fits.ImageHDU
    error = np.full(raw.shape, 7, np.float32)
    quality = np.arange(raw.size, dtype=np.uint16).reshape(raw.shape) % 2
    other = np.ones((4, 4), np.int16)
    hdus = [
        kind(raw, fits.Header({"BUNIT": "adu", **CARDS}), name="SCI"),
        kind(error, fits.Header({"BUNIT": "adu"}), name="ERR"),
        kind(quality, name="DQ"),
        fits.ImageHDU(other, name="OTHER"),
    ]
    path = tmp_path / ("x.fits.fz" if packed else "x.fits")
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, checksum=True)
    run(tmp_path, RAW, inputs=path.name)
    with written(tmp_path, f"x_clean{path.name[1:]}") as found:
        np.testing.assert_array_equal(found["SCI"].data, expected(raw))
        np.testing.assert_array_equal(found["ERR"].data, np.full((21, 29), 5))
        assert found["ERR"].header["BUNIT"] == "electron"
        np.testing.assert_array_equal(found["DQ"].data, quality[INSIDE])
        assert found["DQ"].data.dtype.kind == "u"
        np.testing.assert_array_equal(found["OTHER"].data, other)
        assert "UNCERT" not in found
        assert isinstance(found["SCI"], kind)
    assert fitsverify.counts(tmp_path / "out" / f"x_clean{path.name[1:]}") == (0, 0)


def test_planes_of_a_cube_are_calibrated_each(tmp_path: Path) -> None:
    raw = np.stack([sky(1), sky(2)])
    write_fits(tmp_path / "x.fits", raw, **CARDS)
    run(tmp_path, RAW)
    with written(tmp_path) as hdus:
        assert hdus[0].data.shape == (2, 21, 29)
        np.testing.assert_array_equal(hdus[0].data[1], expected(raw[1]))


def test_a_deconvolved_image_of_it_lies_beside_or_in_its_place(tmp_path: Path) -> None:
    write_fits(tmp_path / "x.fits", sky(), **CARDS)
    psf = {"fwhm": "3 pixel"}
    run(tmp_path, RAW, "toy-sharpen", psf=psf)
    with written(tmp_path) as hdus:
        beside = hdus["DECONV"].data.copy()
        assert beside.shape == (21, 29)
        assert hdus["DECONV"].header["BUNIT"] == "electron"
    run(tmp_path, RAW, "toy-sharpen", psf=psf, products={"replace": True})
    with written(tmp_path) as hdus:
        np.testing.assert_array_equal(hdus[0].data, beside)


@pytest.mark.slow
def test_it_can_be_taken_up_before_a_later_stage(tmp_path: Path, cli: CommandLine) -> None:
    write_fits(tmp_path / "x.fits", sky(dtype="int16"), **CARDS)
    keep = "[run]\nkeep_stages = true\n"
    write_pipeline(
        tmp_path / "p.toml", "toy-raw", "toy-bright: level = 1000", "toy-fill", tables=keep
    )
    assert cli("run", "p.toml", "x.fits", "-o", "out").status == 0
    whole = digests(tmp_path / "out")
    ended = cli("run", "p.toml", "x.fits", "-o", "out", "--from", "toy-fill")
    assert ended.status == 0, ended.err
    assert digests(tmp_path / "out") == whole
    with written(tmp_path) as hdus:
        assert hdus[0].header["GAIN"] == 1


def test_twice_calibrated_counts_pixels_of_the_raw_image(tmp_path: Path) -> None:
    raw = sky()
    write_fits(tmp_path / "x.fits", raw, **CARDS)
    run(tmp_path, {**RAW, "name": "one"}, {**RAW, "name": "two", "options": {"border": 2}})
    with written(tmp_path) as hdus:
        assert hdus[0].data.shape == (19, 27)
        assert hdus[0].header["CRPIX1"] == 11
        assert hdus[0].header["LTV1"] == -12


def test_it_comes_before_what_lies_on_its_pixels(tmp_path: Path) -> None:
    write_fits(tmp_path / "x.fits", sky(), **CARDS)
    report = run(tmp_path, "toy-peaks", RAW)
    assert "Put it before" in str(report.files[0].error)
    report = run(tmp_path, "toy-bright", RAW)
    assert "PROB_CR" in str(report.files[0].error)


def test_colors_of_a_mosaic_are_refused(tmp_path: Path) -> None:
    write_fits(tmp_path / "x.fits", sky(), BAYERPAT="RGGB")
    with pytest.raises(NeedError, match="color"):
        run(tmp_path, RAW)


def test_a_frame_that_does_not_fit_into_memory_is_refused(tmp_path: Path) -> None:
    write_fits(tmp_path / "x.fits", sky(shape=(2000, 500)), **CARDS)
    with pytest.raises(NeedError, match="stage 'toy-raw' needs the whole frame"):
        run(tmp_path, RAW, settings=("run.max_memory='20 MB'",))


def test_the_mask_of_another_pipeline_has_its_pixels(tmp_path: Path) -> None:
    write_fits(tmp_path / "x.fits", sky(), **CARDS)
    run(tmp_path, RAW, products={"mask_as": "maximask", "science": False})
    assert hdu_names(tmp_path / "out" / "x_mask.fits") == ["PRIMARY", "MASK", "DQ_DEF"]
    with written(tmp_path, "x_mask.fits") as hdus:
        assert hdus["MASK"].data.shape == (21, 29)
