"""`astroclean.run`: what it tells while it runs, and what its report knows afterwards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits

import astroclean
from astroclean.errors import ConfigurationError
from astroclean.runner.merge import merge

if TYPE_CHECKING:
    from pathlib import Path

    from astroclean.report.model import FileRecord, RunReport

PIPELINE: dict[str, Any] = {
    "schema": 1,
    "stage": [
        {"plugin": "lacosmic", "options": {"sigclip": 6.0}},
        {"plugin": "interpolate"},
    ],
}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two exposures of a small camera that tells its gain."""
    folder = tmp_path / "raw"
    folder.mkdir()
    rng = np.random.default_rng(5)
    for name in ("a", "b"):
        image = rng.normal(1000, 12, (48, 52)).astype(np.float32)
        image[20, 11:15] += 4000
        header = fits.Header({"BUNIT": "adu", "GAIN": 1.7, "RDNOISE": 4.5})
        fits.PrimaryHDU(image, header).writeto(folder / f"{name}.fits")
    return folder


QUIET = {**PIPELINE, "stage": [{"plugin": "interpolate"}], "products": {"report": False}}
"""Draws nothing, for tests that look at no page."""


def run(raw: Path, pipeline: dict[str, Any] = QUIET, **settings: Any) -> RunReport:
    return astroclean.run(pipeline, raw, output=raw.parent / "out", jobs=0, **settings)


def read_again(report: RunReport) -> FileRecord:
    """The record of the first file, as programs find it in `run.json`."""
    assert report.record is not None
    told = json.loads(report.record.read_text())["files"][0]
    return type(report.files[0]).model_validate(told)


def test_values_and_options_tell_where_they_came_from(raw: Path) -> None:
    settings = ["instrument.saturation=60000", "lacosmic.niter=2"]
    report = run(raw / "a.fits", PIPELINE, settings=settings)
    for record in (report.files[0], read_again(report)):
        values = record.frames[0].values
        assert (values["gain"].value, values["gain"].origin) == (1.7, "header GAIN")
        assert (values["read_noise"].value, values["read_noise"].unit) == (4.5, "electron")
        assert values["saturation"].value == 60000
        assert values["saturation"].origin == "instrument.saturation (--set)"
        for name in ("pixel_scale", "psf_fwhm"):
            assert (values[name].value, values[name].origin) == (None, "not known")
        told = record.options["lacosmic"]
        assert (told.values["sigclip"], told.origins["sigclip"]) == (6.0, "pipeline")
        assert (told.values["niter"], told.origins["niter"]) == (2, "--set")
        assert told.values["objlim"] > 0
        assert "objlim" not in told.origins
        assert record.options["interpolate"].values["planes"] == "fillable"
    assert report.page is not None
    page = report.page.read_text()
    for said in ("header GAIN", "instrument.saturation (--set)", "not known", "objlim"):
        assert said in page


def test_values_of_a_calibrated_frame_are_those_of_its_new_pixels(raw: Path) -> None:
    sections = {"overscan": "[49:52,1:48]", "trim": "[1:48,1:48]"}
    gained = {"plugin": "ccdproc", "options": sections}
    with fits.open(raw / "a.fits", mode="update") as hdus:
        hdus[0].data[:, 48:] = np.random.default_rng(1).normal(500, 3, (48, 4))
    stages = [{"plugin": "saturation", "options": {"level": 3000.0}}, gained]
    report = run(raw / "a.fits", {**QUIET, "stage": stages})
    (frame,) = report.files[0].frames
    assert frame.is_calibrated
    assert frame.unit == "electron"
    assert frame.values["gain"].value == 1
    assert frame.values["gain"].origin == "calibration; header GAIN told 1.7"
    assert frame.values["saturation"].value != 3000
    stages = stages[:1]
    (frame,) = run(raw / "b.fits", {**QUIET, "stage": stages}).files[0].frames
    level = frame.values["saturation"]
    assert (level.value, level.unit, level.origin) == (3000, "adu", "stage 'saturation'")


def test_psf_that_the_pipeline_tells_is_the_width_of_the_frame(raw: Path) -> None:
    report = astroclean.run(
        {**PIPELINE, "psf": {"fwhm": "2.5 pixel"}, "stage": [{"plugin": "richardson-lucy"}]},
        raw / "a.fits",
        output=raw.parent / "out",
        jobs=0,
    )
    (frame,) = report.files[0].frames
    width = frame.values["psf_fwhm"]
    assert width.value == pytest.approx(2.5, rel=0.1)  # as pixels see it
    assert width.unit == "pixel"
    assert "fwhm = 2.5 pixel" in width.origin
    # The image with a narrower PSF stands beside the science image, and so does the page.
    assert [layer.name for layer in frame.layers] == ["DECONV"]
    assert [view.labels for view in frame.layer_previews] == [("science", "DECONV")]


def test_paths_of_what_was_written(raw: Path) -> None:
    report = run(raw)
    assert [path.name for path in report.outputs] == ["a_clean.fits", "b_clean.fits"]
    assert all(path.is_file() for path in report.outputs)
    name = report.files[1].input
    assert [path.name for path in report.outputs_of(name)] == ["b_clean.fits"]
    assert report.outputs_of(raw / "b.fits") == report.outputs_of(name)
    again = run(raw)
    assert again.outputs == report.outputs


def test_progress_on_request(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(raw)
    assert capsys.readouterr() == ("", "")
    run(raw, progress=True, overwrite=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("\r0 of 2 files")
    assert "2 of 2 files" in err.splitlines()[-1]
    assert err.endswith("\n")
    seen: list[tuple[int, int]] = []
    run(raw, progress=lambda done, total: seen.append((done, total)), overwrite=True)
    assert seen[0] == (0, 2)
    assert seen[-1] == (2, 2)


def test_shards(raw: Path) -> None:
    first, second = (run(raw, shard=f"{n}/2") for n in (0, 1))
    assert [len(report.files) for report in (first, second)] == [1, 1]
    assert first.page is None
    assert first.record is None
    names = {path.name for report in (first, second) for path in report.outputs}
    assert names == {"a_clean.fits", "b_clean.fits"}
    whole = merge(raw.parent / "out")
    assert whole.record == raw.parent / "out" / "run.json"
    assert len(whole.outputs) == 2
    with pytest.raises(ConfigurationError, match="I/N"):
        run(raw, shard="2/2")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"settings": "nothing.width=3"}, r"^[^\n]*--set nothing\.width=3: no stage or table"),
        ({"shard": 1}, "--shard is I/N.*not 1"),
        ({"progress": 1}, r"progress is True, False or a function.*got 1"),
        ({"progress": "yes"}, r"progress is .*got 'yes'"),
    ],
)
def test_what_is_of_another_type_is_told_in_words(
    raw: Path, settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        run(raw, **settings)
    assert not (raw.parent / "out").exists()
