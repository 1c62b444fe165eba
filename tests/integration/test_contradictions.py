"""What headers contradict is said on the console, in report and record, by `run` and by `check`;
and `check` finds what `run` would refuse from headers alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits

import astroclean
from astroclean.cli.main import main
from astroclean.core.flags.planes import MaskPlane
from astroclean.io.frames.read import ReadSettings, open_exposure

if TYPE_CHECKING:
    from pathlib import Path

BOTH = {"GAIN": (100, "Sensor gain"), "EGAIN": (0.25, "Electrons per A/D unit")}


def write(path: Path, data: np.ndarray | None = None, **cards: Any) -> str:
    rng = np.random.default_rng(3)
    hdu = fits.PrimaryHDU(rng.normal(300, 20, (64, 70)).astype("f4") if data is None else data)
    for key, card in {"BUNIT": "adu", **cards}.items():
        if card is not None:
            hdu.header[key] = card
    hdu.writeto(path)
    return str(path)


def pipeline(path: Path, *lines: str) -> str:
    path.write_text("\n".join(["schema = 1", *lines]))
    return str(path)


SATURATION = ("[[stage]]", 'plugin = "saturation"', "options = { level = 1000.0 }")


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_contradiction_is_a_warning_but_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], jobs: int
) -> None:
    odd = write(tmp_path / "odd.fits", **BOTH)
    good = write(tmp_path / "good.fits", EGAIN=0.25)
    config = pipeline(tmp_path / "p.toml", *SATURATION)
    out = tmp_path / "out"
    words = ["-o", str(out), "-j", str(jobs), "--set", "run.on_suspect=fail"]
    assert main(["run", config, odd, good, *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    (told,) = [line for line in lines if "contradiction: " in line]
    assert "GAIN = 100" in told
    assert "EGAIN = 0.25" in told
    assert lines[-1].startswith("1 warning: ")
    record = json.loads((out / "run.json").read_text())
    by_name = {file["input"].rsplit("/", 1)[-1]: file for file in record["files"]}
    assert len(by_name["odd.fits"]["contradictions"]) == 1
    assert by_name["good.fits"]["contradictions"] == []
    page = (out / "report.html").read_text()
    assert page.count("Contradictions.</b>") == 1
    assert main(["run", config, odd, good, *words]) == 0  # up to date
    assert "contradiction: " in capsys.readouterr().out


def test_check_tells_contradictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = write(tmp_path / "odd.fits", **BOTH)
    config = pipeline(tmp_path / "p.toml", *SATURATION)
    assert main(["check", config, odd]) == 0
    assert "    contradiction: EGAIN = 0.25" in capsys.readouterr().out
    assert main(["check", config, odd, "--json"]) == 0
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert len(file["contradictions"]) == 1


CATALOG = ("[[stage]]", 'plugin = "sep"')
PCONV = (*CATALOG, "[[stage]]", 'plugin = "pconv"', 'options = { fill = "sources" }')
RL = ("[[stage]]", 'plugin = "richardson-lucy"')
LACOSMIC = ("[[stage]]", 'plugin = "lacosmic"')

# Lines of a pipeline, cards, part of the message.
REFUSED: dict[str, tuple[tuple[str, ...], dict[str, Any], str]] = {
    "pconv without a width": (PCONV, {}, "the PSF of the frame is not known"),
    "instrument without a width": (("[psf]", "instrument = true", *RL), {}, "psf fwhm is needed"),
    "instrument with a width, no scale": (
        ("[psf]", "instrument = true", *RL),
        {"SEEING": (1.0, "[arcsec]")},
        "the pixel scale of the frame is not known",
    ),
    "an angle without a scale": (
        ("[psf]", 'fwhm = "0.9 arcsec"', *RL),
        {},
        "the pixel scale of the frame is not known",
    ),
    "a PSF file without a scale": (
        ("[psf]", 'file = "psf.fits"', *RL),
        {"PIXSCALE": 0.3},
        "the pixel scale of the PSF file is not known",
    ),
    "detector noise without a gain": (
        (*LACOSMIC, 'options = { noise = "detector" }'),
        {"RDNOISE": 5.0},
        "gain is needed",
    ),
    "detector noise of a camera's setting": (
        (*LACOSMIC, 'options = { noise = "detector" }'),
        {"RDNOISE": 5.0, "GAIN": (100, "Sensor gain")},
        "gain is needed",
    ),
    "detector noise in an unknown unit": (
        (*LACOSMIC, 'options = { noise = "detector" }'),
        {"RDNOISE": 5.0, "EGAIN": 1.0, "BUNIT": "furlong"},
        "values in furlong cannot be turned into electron",
    ),
    "no uncertainty": ((*CATALOG, 'options = { noise = "uncertainty" }'), {}, "no uncertainty"),
    "no uncertainty for lacosmic": (
        (*LACOSMIC, 'options = { noise = "uncertainty" }'),
        {},
        "no uncertainty",
    ),
    "no saturation level": (
        ("[[stage]]", 'plugin = "saturation"', 'options = { if_unknown = "error" }'),
        {},
        "saturation level is given neither",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_check_finds_what_run_would_refuse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    lines, cards, message = REFUSED[case]
    stamp = np.zeros((11, 11), "f4")
    stamp[5, 5] = 1
    fits.PrimaryHDU(stamp).writeto(tmp_path / "psf.fits")
    path = write(tmp_path / "a.fits", **cards)
    config = pipeline(tmp_path / "p.toml", *lines)
    status = main(["check", config, path])
    told = capsys.readouterr().err
    assert status == 1, told
    assert message in told
    assert main(["run", config, path, "-o", str(tmp_path / "out")]) == 1
    assert message in capsys.readouterr().err


ACCEPTED: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "pconv with a width": (PCONV, {"SEEING": (1.0, "[arcsec]"), "PIXSCALE": 0.3}),
    "pconv with a width in pixels": (PCONV, {"SEEING": (3.0, "[pix]"), "PIXSCALE": 0.3}),
    "instrument with both": (
        ("[psf]", "instrument = true", *RL),
        {"SEEING": (1.0, "[arcsec]"), "PIXSCALE": 0.3},
    ),
    "pixels need no scale": (("[psf]", 'fwhm = "3 pixel"', *RL), {}),
    "stars are looked for later": (("[psf]", "estimate = true", *RL), {}),
    "an unknown unit that nothing needs": (SATURATION, {"BUNIT": "furlong"}),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_check_refuses_no_more(tmp_path: Path, case: str) -> None:
    lines, cards = ACCEPTED[case]
    path = write(tmp_path / "a.fits", **cards)
    assert main(["check", pipeline(tmp_path / "p.toml", *lines), path]) == 0


def test_an_unknown_unit_goes_through_to_the_products(tmp_path: Path) -> None:
    data = np.random.default_rng(1).normal(300, 20, (64, 70)).astype("f4")
    data[20:24, 30:34] += 5000
    path = write(tmp_path / "a.fits", data, BUNIT="furlong/fortnight")
    config = {"schema": 1, "stage": [{"plugin": "sep"}]}
    (file,) = astroclean.run(config, [path], output=tmp_path / "out").files
    assert file.status == "done"
    assert any("'furlong/fortnight'" in note for note in file.notes)
    assert file.frames[0].unit == "furlong/fortnight"
    assert "furlong/fortnight" in (tmp_path / "out" / "a_sources.ecsv").read_text()
    assert fits.getval(tmp_path / "out" / "a_clean.fits", "BUNIT") == "furlong/fortnight"


def asinh_file(path: Path, linear: np.ndarray, soft: float, offset: float, packed: bool) -> None:
    stored = np.arcsinh((linear - offset) / (2 * soft)) * 2.5 / np.log(10)
    kind = fits.CompImageHDU if packed else fits.ImageHDU
    options = {"compression_type": "GZIP_1", "quantize_level": 0} if packed else {}
    hdu = kind(stored.astype("f4"), **options)
    for key, value in {"BSOFTEN": soft, "BOFFSET": offset, "BUNIT": "DN"}.items():
        hdu.header[key] = value
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("soft", "offset"), [(25.0, 0.0), (3.0, 120.0)])
def test_asinh_pixels_are_linear_to_stages_and_stay_so_stored(
    tmp_path: Path, soft: float, offset: float, packed: bool
) -> None:
    linear = np.random.default_rng(1).normal(20, 10, (64, 70))
    linear[30, 40] = 5e4
    path = tmp_path / "a.fits"
    asinh_file(path, linear, soft, offset, packed)
    config = {
        "schema": 1,
        "stage": [
            {"plugin": "saturation", "options": {"level": 4e4}},
            {"plugin": "interpolate", "options": {"planes": ["SATURATED"]}},
        ],
    }
    (file,) = astroclean.run(config, [str(path)], output=tmp_path / "out").files
    assert any("asinh scale" in note for note in file.notes)
    assert file.frames[0].statistics["median before"] == pytest.approx(20, abs=2)
    before, after = fits.getdata(path, 1), fits.getdata(tmp_path / "out" / "a_clean.fits", 1)
    flags = fits.getdata(tmp_path / "out" / "a_clean.fits", "FLAGS")
    filled = (flags & np.uint32(MaskPlane.INTERPOLATED)) != 0
    assert filled[30, 40]
    np.testing.assert_array_equal(before[~filled], after[~filled])
    back = offset + 2 * soft * np.sinh(after[filled].astype(float) * np.log(10) / 2.5)
    assert np.all(np.abs(back - 20) < 40)
    again = astroclean.Frame.read(f"{tmp_path / 'out' / 'a_clean.fits'}[1]")
    np.testing.assert_allclose(again.data[~filled], linear[~filled], rtol=1e-4, atol=1e-3)


def test_a_frame_read_from_asinh_pixels_is_written_as_it_is(tmp_path: Path) -> None:
    linear = np.random.default_rng(1).normal(20, 10, (64, 70))
    asinh_file(tmp_path / "a.fits", linear, 25.0, 0.0, packed=False)
    frame = astroclean.Frame.read(tmp_path / "a.fits")
    frame.write(tmp_path / "b.fits")
    np.testing.assert_array_equal(astroclean.Frame.read(tmp_path / "b.fits").data, frame.data)


def test_cards_of_a_scale_that_are_left_over_are_told_and_not_applied(tmp_path: Path) -> None:
    data = np.random.default_rng(1).normal(300, 20, (64, 70)).astype("f4")
    path = write(tmp_path / "a.fits", data, BSOFTEN=25.0, BOFFSET=0.0)
    config = {
        "schema": 1,
        "stage": [
            {"plugin": "saturation", "options": {"level": 360.0}},
            {"plugin": "interpolate", "options": {"planes": ["SATURATED"]}},
        ],
    }
    (file,) = astroclean.run(config, [path], output=tmp_path / "out").files
    assert "tell an asinh scale" in file.contradictions[0]
    assert file.frames[0].pixels_changed > 0
    assert fits.getdata(tmp_path / "out" / "a_clean.fits").max() < 400
    assert fits.getdata(tmp_path / "out" / "a_clean.fits").min() > 200


@pytest.mark.parametrize("soft", [0.0, -1.0, "unknown"])
def test_a_scale_that_is_not_told_is_refused(tmp_path: Path, soft: Any) -> None:
    path = write(tmp_path / "a.fits", BSOFTEN=soft)
    config = {"schema": 1, "stage": [{"plugin": "saturation"}]}
    (file,) = astroclean.run(config, [path], output=tmp_path / "out").files
    assert file.status == "failed"
    assert "asinh scale, which its cards do not tell" in file.error


WFC3 = {"TELESCOP": "HST", "INSTRUME": "WFC3", "DETECTOR": "IR", "BUNIT": "ELECTRONS/S"}
SPIRE = {"TELESCOP": "Herschel", "INSTRUME": "SPIRE", "DETECTOR": "PSW"}
SKY = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -6 / 3600, "CDELT2": 6 / 3600}


@pytest.mark.parametrize(
    ("cards", "told"),
    [
        ({**WFC3, **SKY, "PIXSCALE": 6.0}, []),
        ({**WFC3, **SKY, "PIXSCALE": 0.13}, ["PIXSCALE tells a pixel of 0.13 arcsec, the WCS 6;"]),
        ({**WFC3, "PIXSCALE": 0.4}, ["0.4 arcsec, instrument 'hst-wfc3-ir' 0.1283; that of"]),
        ({**SPIRE, "BUNIT": "Jy/pix", "SIGUNIT": "jy/pixel"}, []),
        (
            {**SPIRE, "BUNIT": "mJy/beam", "SIGUNIT": "Jy/pix"},
            ["BUNIT = mJy/beam is taken for the unit of the pixels: SIGUNIT = Jy/pix says another"],
        ),
    ],
)
def test_cards_of_a_known_camera_that_differ_are_told(
    tmp_path: Path, cards: dict[str, Any], told: list[str]
) -> None:
    with open_exposure(write(tmp_path / "a.fits", **cards), ReadSettings()) as exposure:
        exposure.header_frame(exposure.slots[0])
        found = list(exposure.contradictions)
    assert len(found) == len(told)
    assert all(text in one for text, one in zip(told, found, strict=True))
