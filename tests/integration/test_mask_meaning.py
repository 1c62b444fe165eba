"""Runs on masks that mark sources, jumps and bits that nobody knows: what informs is not filled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits

import astroclean
from astroclean.errors import FitsReadError
from astroclean.io.frames.read import open_exposure
from astroclean.runner.plan.chunks import BASE_BYTES, BYTES_PER_PIXEL

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SHAPE = (320, 80)
INTERPOLATE = {"plugin": "interpolate"}


def sky_with_stars() -> tuple[np.ndarray, np.ndarray]:
    """An image, and where its stars are."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    stars = np.zeros(SHAPE)
    for cy, cx in ((20, 20), (50, 60), (250, 30)):
        stars += 5000 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 4.5)
    return (stars + rng.normal(200, 5, SHAPE)).astype(np.float32), stars > 20


def write(
    path: Path,
    quality: np.ndarray,
    primary: Mapping[str, Any],
    names: tuple[str, str],
    **cards: Any,
) -> np.ndarray:
    """Write a file with science and DQ; return the science image."""
    image, _ = sky_with_stars()
    hdus = fits.HDUList([fits.PrimaryHDU()])
    hdus[0].header.update(primary)
    hdus += [
        fits.ImageHDU(image, name=names[0], ver=1),
        fits.ImageHDU(quality, name=names[1], ver=1),
    ]
    hdus[1].header["BUNIT"] = "adu"
    for key, value in cards.items():
        hdus[2].header[f"HIERARCH {key}" if len(key) > 8 else key] = value
    hdus.writeto(path)
    return image


def run(path: Path, output: Path, **tables: Any) -> Any:
    config = {"schema": 1, "stage": [INTERPOLATE], **tables}
    return astroclean.run(config, [str(path)], output=output)


def changed(path: Path, output: Path, image: np.ndarray, name: str) -> np.ndarray:
    """Which pixels of the science image differ in the output."""
    after = fits.getdata(output / f"{path.stem}_clean.fits", name)
    differs: np.ndarray = after != image
    return differs


AFW = {"MP_BAD": 0, "MP_DETECTED": 5, "MP_NOT_KNOWN": 9}
SOURCES: dict[str, tuple[Mapping[str, Any], tuple[str, str], int, int, Mapping[str, Any]]] = {
    "rubin": ({"INSTRUME": "LSSTComCam"}, ("IMAGE", "MASK"), 32, 1, AFW),
    "rubin, other bits": (
        {"INSTRUME": "LSSTCam"},
        ("IMAGE", "MASK"),
        1,
        32,
        {"MSKN0000": "DETECTED", "MSKM0000": 1, "MSKN0005": "BAD", "MSKM0005": 32},
    ),
    "an unknown camera by afw": ({"INSTRUME": "X"}, ("SCI", "MASK"), 32, 1, AFW),
    "ztf": ({"INSTRUME": "ZTF/MOSAIC"}, ("SCI", "MASK"), 2 | 2048, 512, {}),
    "des": ({"INSTRUME": "DECam"}, ("SCI", "MSK"), 32, 1, {"DES_EXT": "MASK"}),
    "nicmos": ({"TELESCOP": "HST", "INSTRUME": "NICMOS"}, ("SCI", "DQ"), 1024, 32, {}),
    "euclid": ({"TELESCOP": "EUCLID", "INSTRUME": "VIS"}, ("1.SCI", "1.FLG"), 1 << 24, 1, {}),
    "niri": ({"TELESCOP": "Gemini-North", "INSTRUME": "NIRI"}, ("SCI", "DQ"), 2, 1, {}),
}


@pytest.mark.parametrize("name", SOURCES)
def test_sources_that_a_mask_marks_are_not_filled(name: str, tmp_path: Path) -> None:
    primary, names, source_bit, bad_bit, cards = SOURCES[name]
    _, stars = sky_with_stars()
    quality = np.where(stars, source_bit, 0).astype(np.int32)
    bad = np.zeros(SHAPE, dtype=bool)
    bad[40, 20:30] = True
    quality[bad] |= bad_bit
    path = tmp_path / "x.fits"
    image = write(path, quality, primary, names, **cards)
    record = run(path, tmp_path / "out").files[0]
    assert record.status == "done"
    np.testing.assert_array_equal(changed(path, tmp_path / "out", image, names[0]), bad)
    assert record.frames[0].flagged_before.get("BAD_PIXEL", 10) == 10
    assert not [note for note in record.notes if "reject nothing" in note]


JUMPS = {
    "nircam": ({"TELESCOP": "JWST", "INSTRUME": "NIRCAM"}, ("SCI", "DQ"), 4),
    "miri, saturated late": ({"TELESCOP": "JWST", "INSTRUME": "MIRI"}, ("SCI", "DQ"), 2),
    "niriss, hot": ({"TELESCOP": "JWST", "INSTRUME": "NIRISS"}, ("SCI", "DQ"), 2048),
    "euclid, cosmic": ({"TELESCOP": "EUCLID", "INSTRUME": "VIS"}, ("1.SCI", "1.FLG"), 16),
}


@pytest.mark.parametrize("name", JUMPS)
def test_a_reason_alone_is_no_defect(name: str, tmp_path: Path) -> None:
    primary, names, reason = JUMPS[name]
    rng = np.random.default_rng(3)
    quality = np.where(rng.random(SHAPE) < 0.25, reason, 0).astype(np.uint32)
    unusable = rng.random(SHAPE) < 0.01
    unusable[:2] = unusable[-2:] = False
    quality[unusable] |= 1
    path = tmp_path / "x.fits"
    image = write(path, quality, primary, names)
    record = run(path, tmp_path / "out").files[0]
    assert record.status == "done"
    differs = changed(path, tmp_path / "out", image, names[0])
    # What is saturated and unusable is rejected, and left, as any saturated pixel.
    left = (quality & 2) != 0 if reason == 2 else np.zeros(SHAPE, dtype=bool)
    np.testing.assert_array_equal(differs, unusable & ~left)


def unknown_mask() -> np.ndarray:
    _, stars = sky_with_stars()
    quality = np.where(stars, 64, 0).astype(np.int16)
    quality[40, 20:30] |= 4
    return quality


@pytest.mark.parametrize(
    "tables",
    [{}, {"run": {"max_memory": f"{(BASE_BYTES + 300 * 80 * BYTES_PER_PIXEL) / 1e6:.3f} MB"}}],
)
def test_what_nobody_knows_is_told_once_with_the_remedy(
    tables: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "x.fits"
    quality = unknown_mask()
    image = write(path, quality, {"INSTRUME": "HomeCam"}, ("SCI", "DQ"))
    record = run(path, tmp_path / "out", **tables).files[0]
    assert not changed(path, tmp_path / "out", image, "SCI").any()
    (note,) = [note for note in record.notes if "reject nothing" in note]
    stars = np.count_nonzero(quality & 64)
    assert f"bit 2 (4): 10 pixels; bit 6 (64): {stars} pixels" in note
    assert '`[instrument] bad_bits = "4,64"`' in note
    # The remedy, and that a file done without it is done again.
    record = run(path, tmp_path / "out", instrument={"bad_bits": "4"}, **tables).files[0]
    assert record.status == "done"
    expected = np.zeros(SHAPE, dtype=bool)
    expected[40, 20:30] = True
    np.testing.assert_array_equal(changed(path, tmp_path / "out", image, "SCI"), expected)
    assert not [note for note in record.notes if "reject nothing" in note]
    again = run(path, tmp_path / "out", instrument={"good_bits": "~4"}, **tables).files[0]
    np.testing.assert_array_equal(changed(path, tmp_path / "out", image, "SCI"), expected)
    assert again.status == "done"


@pytest.mark.slow
def test_frames_that_workers_share_leave_one_note(tmp_path: Path) -> None:
    image, _ = sky_with_stars()
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for version in (1, 2, 3):
        hdus.append(fits.ImageHDU(image, name="SCI", ver=version))
        hdus[-1].header["BUNIT"] = "adu"
        hdus.append(fits.ImageHDU(unknown_mask(), name="DQ", ver=version))
    hdus.writeto(tmp_path / "x.fits")
    config = {"schema": 1, "stage": [INTERPOLATE]}
    path = str(tmp_path / "x.fits")
    notes = [
        astroclean.run(config, [path], output=tmp_path / f"out{jobs}", jobs=jobs).files[0].notes
        for jobs in (1, 3)
    ]
    assert notes[0] == notes[1]
    assert sum("bit 2 (4): 30 pixels" in note for note in notes[1]) == 1


@pytest.mark.parametrize("name", ["MASK", "DQ", "BPM"])
def test_a_mask_that_rejects_most_of_its_frame_is_doubted(tmp_path: Path, name: str) -> None:
    """Where 1 is good, as in masks of weights, all of the frame would be bad."""
    good = np.ones((80, 90), dtype=np.uint8)
    good[10:12] = 0
    science = fits.ImageHDU(np.full(good.shape, 5, np.float32), name="SCI")
    science.header["BUNIT"] = "adu"
    fits.HDUList([fits.PrimaryHDU(), science, fits.ImageHDU(good, name=name)]).writeto(
        tmp_path / "x.fits"
    )
    config = {"schema": 1, "stage": [{"plugin": "interpolate"}], "products": {"report": False}}
    record = astroclean.run(config, tmp_path / "x.fits", output=tmp_path / "out").files[0]
    (doubt,) = record.contradictions
    assert "rejects 97.5 % of [SCI,1]" in doubt
    assert "bad_bits" in doubt


@pytest.mark.parametrize("name", ["ERR", "VAR", "IVAR"])
def test_an_uncertainty_of_zero_everywhere_is_not_used(tmp_path: Path, name: str) -> None:
    image = np.random.default_rng(1).normal(100, 5, (80, 90)).astype(np.float32)
    science = fits.ImageHDU(image, name="SCI")
    science.header["BUNIT"] = "adu"
    zero = fits.ImageHDU(np.zeros_like(image), name=name)
    fits.HDUList([fits.PrimaryHDU(), science, zero]).writeto(tmp_path / "x.fits")
    with open_exposure(tmp_path / "x.fits") as exposure:
        frame = exposure.frame(exposure.slots[0])
        assert frame.uncertainty is None
        assert not frame.mask.any()
        assert any("no value above zero: not used" in note for note in exposure.notes)


def test_a_filled_pixel_has_the_weight_zero(tmp_path: Path) -> None:
    image = np.full((80, 90), 100, np.float32)
    image[72, 40] = 9000
    weight = np.full_like(image, 0.04)
    science = fits.ImageHDU(image, name="SCI")
    science.header["BUNIT"] = "adu"
    dq = np.zeros(image.shape, np.uint8)
    dq[72, 40] = 1
    others = [fits.ImageHDU(weight, name="IVAR"), fits.ImageHDU(dq, name="DQ")]
    fits.HDUList([fits.PrimaryHDU(), science, *others]).writeto(tmp_path / "x.fits")
    config = {"schema": 1, "stage": [{"plugin": "interpolate"}], "products": {"report": False}}
    record = astroclean.run(config, tmp_path / "x.fits", output=tmp_path / "out").files[0]
    assert record.frames[0].pixels_changed == 1
    with fits.open(tmp_path / "out" / "x_clean.fits") as hdus:
        assert hdus["IVAR"].data[72, 40] == 0
        assert np.count_nonzero(hdus["IVAR"].data != weight) == 1


def test_a_picture_whose_color_comes_first_is_refused(tmp_path: Path) -> None:
    fits.PrimaryHDU(np.ones((60, 70, 3), np.float32)).writeto(tmp_path / "rgb.fits")
    with pytest.raises(FitsReadError, match="color is the first axis"):
        astroclean.Frame.read(tmp_path / "rgb.fits")
