"""``[products] replace``: what is told of the science image is what was written of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits
from toy_runs import run, sky, write_fits

from astroclean.cli.outcome import tell_outcome
from astroclean.core.stage.results import Mask
from astroclean.errors import ContractError
from astroclean.registry.load import load_stage

if TYPE_CHECKING:
    from pathlib import Path

    from astroclean.report.model import RunReport

PSF = {"fwhm": "3 pixel"}
pytestmark = pytest.mark.usefixtures("toys")


def line_of(report: RunReport, capsys: pytest.CaptureFixture[str]) -> str:
    tell_outcome(report, quiet=False, verbose=0)
    return capsys.readouterr().out.splitlines()[0]


def test_changed_pixels_are_those_of_the_image_in_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_fits(tmp_path / "x.fits", sky(), sky(2))
    report = run(tmp_path, "toy-sharpen", psf=PSF, products={"replace": True})
    for number, frame in enumerate(report.files[0].frames, 1):
        old = fits.getdata(tmp_path / "x.fits", number)
        new = fits.getdata(tmp_path / "out" / "x_clean.fits", number)
        assert frame.pixels_changed == np.count_nonzero(old != new) > 0
        assert (frame.replaced_by, frame.result) == ("DECONV", "DECONV")
    line = line_of(report, capsys)
    assert f"replaced by DECONV, {2 * old.size} pixels changed ->" in line


def test_a_layer_beside_it_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_fits(tmp_path / "x.fits", sky())
    report = run(tmp_path, "toy-sharpen", psf=PSF)
    (frame,) = report.files[0].frames
    assert (frame.pixels_changed, frame.replaced_by, frame.result) == (0, "", "DECONV")
    assert "0 pixels changed, DECONV added ->" in line_of(report, capsys)


def test_a_finer_image_cannot_take_its_place_and_that_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_fits(tmp_path / "x.fits", sky())
    report = run(tmp_path, "toy-finer", psf=PSF, products={"replace": True})
    (frame,) = report.files[0].frames
    assert (frame.pixels_changed, frame.replaced_by) == (0, "")
    assert "SUPERRES lies on pixels of its own" in " ".join(report.files[0].notes)
    assert "SUPERRES added" in line_of(report, capsys)
    np.testing.assert_array_equal(fits.getdata(tmp_path / "out" / "x_clean.fits", 0), sky())


def test_a_truth_value_is_no_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = load_stage("toy-bright")
    flags = np.zeros((24, 32), np.uint32)
    monkeypatch.setattr(
        type(stage), "find", lambda *_: Mask(flags, metrics={"sky was flat": np.bool_(True)})
    )
    with pytest.raises(ContractError, match=r"true or false.*sky was flat = True"):
        stage.run(sky())
