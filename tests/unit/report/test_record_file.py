"""`run.json` is written and read record by record, whatever a record holds."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astroclean.io.scratch.arrays import open_regular
from astroclean.report import record_file
from astroclean.report.model import (
    PICTURES,
    FileRecord,
    FileStatus,
    FrameRecord,
    RunReport,
    RunSummary,
)
from astroclean.report.record_file import is_own_record, read_earlier

if TYPE_CHECKING:
    from pathlib import Path

ODD = '],\n  "files": [\n    },\n    {\n  ]'
"""What looks like the layout."""


def record(number: int, note: str = "") -> FileRecord:
    frame = FrameRecord(frame_id=note, hdu="0", plane=None, shape=(2, 3), unit="adu")
    return FileRecord(
        input=f"x{number}.fits",
        status=FileStatus.DONE,
        source=f"/raw/x{number}.fits",
        key=f"key {number}",
        run=1,
        outputs={f"x{number}_clean.fits": "sum"},
        notes=[note],
        frames=[frame],
    )


def report_of(files: list[FileRecord], runs: int = 0, note: str = "") -> RunReport:
    summaries = [RunSummary(number=n, files={"done": n}, config={"a": {}}) for n in range(runs)]
    return RunReport(
        exit_code=0, files=files, runs=summaries, notes=[note], config={"b": {note: 1}}
    )


@given(files=st.integers(0, 3), runs=st.integers(0, 3), note=st.text() | st.just(ODD))
def test_parts_are_the_text_of_the_whole(files: int, runs: int, note: str) -> None:
    report = report_of([record(n, note) for n in range(files)], runs, note)
    frames = {"__all__": set(PICTURES)}
    hidden = {"files": {"__all__": {"frames": frames, "seen": True}}}
    assert report.to_json() == report.model_dump_json(indent=2, exclude=hidden)


@pytest.mark.parametrize("block", [1, 7, 1 << 22])
@pytest.mark.parametrize("runs", [0, 1, 3])
@pytest.mark.parametrize("files", [0, 1, 2, 5])
@pytest.mark.parametrize("indent", [2, None, 4])
def test_what_was_written_is_read(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    files: int,
    runs: int,
    block: int,
    indent: int | None,
) -> None:
    monkeypatch.setattr(record_file, "_BLOCK", block)
    report = report_of([record(n, ODD) for n in range(files)], runs, ODD)
    path = tmp_path / "run.json"
    text = report.to_json()
    path.write_text(text if indent == 2 else json.dumps(json.loads(text), indent=indent))

    assert is_own_record(partial(open_regular, path))
    earlier = read_earlier(partial(open_regular, path))

    assert earlier is not None
    assert earlier.runs == report.runs
    assert [*earlier.files] == [file.source for file in report.files]
    for file, old in zip(report.files, earlier.files.values(), strict=True):
        assert (old.key, old.run, old.outputs) == (file.key, file.run, file.outputs)
    wanted = [file.source for file in report.files[1::2]]
    assert list(earlier.records(wanted)) == report.files[1::2]


@pytest.mark.parametrize("cut", [10, 300, 900, -200, -3])
def test_half_a_record_is_none(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "run.json"
    path.write_text(report_of([record(n) for n in range(3)], 2).to_json()[:cut])
    assert read_earlier(partial(open_regular, path)) is None


def test_no_record_is_none(tmp_path: Path) -> None:
    assert read_earlier(partial(open_regular, tmp_path / "run.json")) is None
    (tmp_path / "run.json").symlink_to(tmp_path / "elsewhere")
    assert not is_own_record(partial(open_regular, tmp_path / "run.json"))
