"""`astroclean inspect`: what is understood of a file, with the card or rule that told it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits

from astroclean.cli.main import main
from astroclean.runner.inspection import inspect_file

if TYPE_CHECKING:
    from pathlib import Path

GAIN, READ_NOISE, SKY = 1.5, 5.0, 600.0


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A raw frame whose gain is right."""
    rng = np.random.default_rng(3)
    image = rng.poisson(SKY * GAIN, (300, 320)) / GAIN + rng.normal(
        0, READ_NOISE / GAIN, (300, 320)
    )
    primary = fits.PrimaryHDU(np.rint(image).astype(np.uint16))
    cards = {"GAIN": GAIN, "RDNOISE": READ_NOISE, "PIXSCALE": 0.4, "SEEING": 1.2, "EXPTIME": 60.0}
    primary.header.update(cards)
    primary.writeto(tmp_path / "raw.fits")
    return tmp_path / "raw.fits"


@pytest.fixture
def jwst(tmp_path: Path) -> Path:
    """A rate file with DQ, and a map that is neither."""
    dq = np.zeros((60, 70), dtype=np.uint32)
    dq[:5] = 1
    dq[10:20] = 4
    primary = fits.PrimaryHDU()
    primary.header.update({"TELESCOP": "JWST", "INSTRUME": "NIRCAM", "FILTER": "F200W"})
    sci = fits.ImageHDU(np.ones(dq.shape, np.float32), name="SCI", ver=1)
    sci.header["BUNIT"] = "MJy/sr"
    others = [("ERR", np.ones(dq.shape, np.float32)), ("DQ", dq), ("AREA", np.ones(dq.shape))]
    hdus = [fits.ImageHDU(image, name=name, ver=1) for name, image in others]
    fits.HDUList([primary, sci, *hdus]).writeto(tmp_path / "rate.fits")
    return tmp_path / "rate.fits"


def test_values_are_told_with_their_cards(raw: Path) -> None:
    told = inspect_file(str(raw))
    assert (told.instrument, told.why) == (
        "generic-ccd",
        "no other instrument file matches the header",
    )
    (frame,) = told.frames
    assert (frame.values["gain"].value, frame.values["gain"].origin) == (GAIN, "header GAIN")
    assert "assumed" in frame.values["unit"].origin
    assert "saturation" not in frame.values
    assert frame.fwhm_pixels == pytest.approx(3)
    assert frame.sky == pytest.approx(SKY, abs=1)
    noise = np.sqrt(SKY / GAIN + (READ_NOISE / GAIN) ** 2)
    assert frame.noise == pytest.approx(noise, rel=0.03)
    assert frame.predicted_noise == pytest.approx(noise, rel=0.03)
    assert frame.predicted_by == "gain and read noise"


def test_roles_of_hdus_and_meaning_of_the_mask(jwst: Path) -> None:
    told = inspect_file(str(jwst))
    assert told.instrument == "jwst-nircam"
    assert "TELESCOP = JWST" in told.why
    roles = {hdu.hdu.split(",")[0]: hdu.role for hdu in told.hdus}
    assert roles == {"0": "kept", "SCI": "science", "ERR": "error", "DQ": "dq", "AREA": "kept"}
    mask = told.frames[0].mask
    assert mask is not None
    assert mask.rejecting == {"DO_NOT_USE": 1}
    assert told.frames[0].flagged["BAD_PIXEL"] == 5 * 70


def test_what_contradicts_itself_is_said(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fits.setval(raw, "GAIN", value=100, comment="Sensor gain")
    fits.setval(raw, "EGAIN", value=GAIN, comment="Electrons per A/D unit")
    fits.setval(raw, "RDNOISE", value=300.0)
    assert main(["inspect", str(raw)]) == 0
    out = capsys.readouterr().out
    assert "gain 1.5 electron / adu: header EGAIN" in out
    assert "which it is not" in out


def test_the_command_goes_on_after_a_file_that_cannot_be_read(
    raw: Path, jwst: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.fits").write_text("nothing")
    paths = [str(path) for path in (raw, tmp_path / "broken.fits", jwst)]
    assert main(["inspect", *paths, "--json"]) == 1
    captured = capsys.readouterr()
    assert [file["instrument"] for file in json.loads(captured.out)] == [
        "generic-ccd",
        "jwst-nircam",
    ]
    assert "broken.fits" in captured.err


def test_the_instrument_may_be_named(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(raw), "--instrument", "gmos"]) in {0, 1}
    assert "named by the user" in capsys.readouterr().out
