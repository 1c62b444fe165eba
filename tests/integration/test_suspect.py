"""What looks implausible is said on the console, in the report and in the record; or nothing is
written of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from toy_runs import digests, write_fits

import astroclean
from astroclean.cli.main import main
from astroclean.runner.plan.chunks import BASE_BYTES, BYTES_PER_PIXEL

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("toys")

FLAG = {"plugin": "toy-bright"}


@pytest.fixture
def exposures(tmp_path: Path) -> list[str]:
    """A frame of which a fifth is above the level, and one of which a twentieth is."""
    paths = []
    for name, rows in (("doubtful", 20), ("good", 5)):
        image = np.full((100, 90), 10, dtype=np.float32)
        image[:rows] = 2000
        write_fits(tmp_path / f"{name}.fits", image)
        paths.append(str(tmp_path / f"{name}.fits"))
    return paths


def run(paths: list[str], output: Path, *stages: dict[str, Any], **tables: Any) -> Any:
    config = {
        "schema": 1,
        "instrument": {"name": "generic-ccd"},
        "stage": list(stages or (FLAG,)),
        **tables,
    }
    return astroclean.run(config, paths, output=output)


def test_record_and_report_name_the_file_and_the_stage(
    tmp_path: Path, exposures: list[str]
) -> None:
    doubtful, good = run(exposures, tmp_path / "out").files
    (text,) = doubtful.suspect
    assert "doubtful.fits" in text
    assert "stage 'toy-bright': flagged COSMIC_RAY on 20 % of the pixels" in text
    assert (doubtful.status, good.status, good.suspect) == ("done", "done", [])
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["files"][0]["suspect"] == [text]
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("Suspect.</b>") == 1
    assert "flagged COSMIC_RAY on 20 % of the pixels" in page


def test_what_was_suspect_stays_so_when_it_is_up_to_date(
    tmp_path: Path, exposures: list[str]
) -> None:
    first = run(exposures, tmp_path / "out").files[0].suspect
    again = run(exposures, tmp_path / "out").files[0]
    assert (again.status, again.suspect) == ("up to date", first)


def test_nothing_is_written_of_a_suspect_file_where_that_is_a_failure(
    tmp_path: Path, exposures: list[str]
) -> None:
    report = run(exposures, tmp_path / "out", run={"on_suspect": "fail"})
    assert report.exit_code == 1
    assert list(digests(tmp_path / "out")) == ["good_clean.fits"]
    doubtful = report.files[0]
    assert doubtful.status == "failed"
    assert doubtful.error == f"{doubtful.suspect[0]} Nothing is written, as `on_suspect` says."


def test_a_limit_of_the_stage_lifts_it(tmp_path: Path, exposures: list[str]) -> None:
    lifted = {**FLAG, "options": {"limits": {"CR": 0.25}}}
    report = run(exposures, tmp_path / "out", lifted, run={"on_suspect": "fail"})
    assert report.exit_code == 0
    assert all(record.suspect == [] for record in report.files)


@pytest.mark.parametrize("rows", [20, 4])
def test_a_frame_in_chunks_is_judged_like_one_in_one_piece(tmp_path: Path, rows: int) -> None:
    generator = np.random.default_rng(2)
    image = generator.normal(1000, 10, (600, 90)).astype(np.float32)
    image[: 6 * rows] = 60000
    write_fits(tmp_path / "x.fits", image)
    stage = {"plugin": "saturation", "options": {"level": 50000, "max_hole": 0}}
    limit = f"{(BASE_BYTES + 500 * 90 * BYTES_PER_PIXEL) / 1e6:.3f} MB"
    whole, cut = (
        run([str(tmp_path / "x.fits")], tmp_path / name, stage, run=settings).files[0]
        for name, settings in (("whole", {}), ("cut", {"max_memory": limit}))
    )
    assert any("chunks of" in note for note in cut.notes)
    assert cut.suspect == whole.suspect
    assert bool(whole.suspect) == (rows == 20)
    shares = [file.frames[0].stages[0].shares for file in (whole, cut)]
    assert shares[0] == shares[1] != {}


def test_the_console_counts_notes_and_warnings(
    tmp_path: Path, exposures: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = tmp_path / "p.toml"
    pipeline.write_text('schema = 1\ninstrument = "generic-ccd"\n[[stage]]\nplugin = "toy-bright"')
    for path in exposures:
        fits.delval(path, "BUNIT")
    arguments = [str(pipeline), *exposures, "-o", str(tmp_path / "out")]
    assert main(["run", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "suspect: " in line and "20 %" in line]
    assert lines[-1] == "2 notes, 1 warning: see report.html (or -v)"  # the unit is assumed, twice
    assert main(["run", *arguments, "-v"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "2 notes, 1 warning: see report.html"
    assert sum("note: " in line for line in lines) == 2


def test_the_verdict_of_a_screener_is_on_the_console(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_fits(tmp_path / "x.fits", np.full((20, 20), 5, dtype=np.float32))
    pipeline = tmp_path / "p.toml"

    def told(options: str, on_reject: str) -> str:
        pipeline.write_text(
            f'schema = 1\ninstrument = "generic-ccd"\n[run]\non_reject = "{on_reject}"\n'
            f'[[stage]]\nplugin = "toy-score"\noptions = {{ {options} }}'
        )
        folder = str(tmp_path / f"{on_reject}{len(options)}")
        assert main(["run", str(pipeline), str(tmp_path / "x.fits"), "-o", folder]) == 0
        return capsys.readouterr().out

    fits.setval(tmp_path / "x.fits", "TOYPROB", value=0.75)
    assert "found unusable by toy-score (probability 0.75)" in told("", "flag")
    assert "screened by toy-score (probability 0.75)" in told("threshold = 0.9", "flag")
    assert "rejected by toy-score (probability 0.75); not processed further" in told("", "skip")


def test_the_report_says_what_happened_to_a_rejected_exposure(tmp_path: Path) -> None:
    write_fits(tmp_path / "x.fits", np.full((20, 20), 5, dtype=np.float32))
    fits.setval(tmp_path / "x.fits", "TOYPROB", value=0.75)
    said = {"flag": "It was processed all the same.", "skip": "It was not processed further."}
    for on_reject, text in said.items():
        output = tmp_path / on_reject
        run(
            [str(tmp_path / "x.fits")],
            output,
            {"plugin": "toy-score"},
            run={"on_reject": on_reject},
        )
        page = (output / "report.html").read_text()
        assert text in page
        assert not [other for other in said.values() if other != text and other in page]
