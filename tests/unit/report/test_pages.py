"""The report of very many files: small, whole, and written where something changed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from toy_html import Page as Parsed
from toy_html import assert_sound

from astroclean.errors import OutputError
from astroclean.report import pages
from astroclean.report.model import FileRecord, FileStatus, FrameRecord, RunReport
from astroclean.report.pages import FOLDER, pages_of, render_summary
from astroclean.runner.output.folder import OutputFolder
from astroclean.runner.output.report_pages import ReportPages
from astroclean.runner.output.run_files import write_run_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVIL = "<script>alert('x')</script>.fits"


def file(number: int, status: FileStatus = FileStatus.DONE, **fields: Any) -> FileRecord:
    base = f"f{number:04d}"
    values: dict[str, Any] = {
        "input": f"night/{base}.fits",
        "source": f"/data/night/{base}.fits",
        "base": base,
        "key": "k",
        "run": 1,
        "outputs": {f"{base}_clean.fits": "ab"},
        "frames": [FrameRecord(frame_id=base, hdu="0", plane=None, shape=(100, 200), unit="adu")],
    }
    return FileRecord(status=status, **{**values, **fields})


def report(*files: FileRecord) -> RunReport:
    return RunReport(exit_code=0, files=list(files))


def texts(of: RunReport) -> dict[str, str]:
    return {page.name: page.text() for page in pages_of(of, lambda record: record)}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_FILES", 4)
    monkeypatch.setattr(pages, "_LIST", 3)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[OutputFolder]:
    held = OutputFolder(tmp_path / "out")
    with held.locked():
        yield held


def test_every_file_is_reached_by_links_that_exist() -> None:
    files = [file(n) for n in range(8)]
    files[2] = file(2, FileStatus.FAILED, error="f0002.fits: broken", frames=[])
    files[5] = file(5, suspect=["too much was filled"])
    files.append(file(9, input=EVIL, source="", base=""))
    run = report(*files)
    written = texts(run)
    summary = Parsed(render_summary(run))
    assert_sound(summary)
    for said in ("f0002.fits: broken", "too much was filled", "1 to 3", "7 to 9"):
        assert said in summary.text
    linked = {a["href"] for a in summary.all("a")}
    lists = [name for name in written if name.startswith("list-")]
    assert {f"./{FOLDER}/{name}" for name in lists} <= linked
    told = set()
    for name in lists:
        found = Parsed(written[name])
        hrefs = {str(a["href"]) for a in found.all("a")}
        assert "../report.html" in hrefs
        told |= {href for href in hrefs if not href.startswith(("../", "./list-"))}
    of_files = {f"./{name}" for name in written if re.search(r"-[0-9a-f]{12}\.html$", name)}
    assert told == of_files
    assert len(of_files) == len(files)
    for name in of_files:
        page = Parsed(written[name.removeprefix("./")])
        targets = {str(a["href"]) for a in page.all("a")}
        assert all(t.startswith("../") for t in targets)
        assert page.all("link", href="./report.css")
        assert len(page.all("script")) == 1
    assert "alert('x')" in "".join(Parsed(written[n[2:]]).text for n in of_files)


def test_size_of_the_summary_does_not_grow_with_each_file() -> None:
    few_files, many = (report(*(file(n) for n in range(count))) for count in (30, 60))
    line = (len(render_summary(many)) - len(render_summary(few_files))) / 10
    assert line < 1000  # of a list


def test_only_what_changed_is_written_again(folder: OutputFolder) -> None:
    files = [file(n) for n in range(8)]
    there = ReportPages(folder)
    rendered: list[str] = []

    def write(run: RunReport) -> set[str]:
        rendered.clear()

        def told(record: FileRecord) -> FileRecord:
            rendered.append(record.base)
            return record

        there.write(pages_of(run, told))
        return {path.name for path in (folder.path / FOLDER).iterdir()}

    names = write(report(*files))
    assert rendered == [f.base for f in files]
    # That a file is up to date is said in the lists; its own page tells when it was done.
    again = [f.model_copy(update={"status": FileStatus.UP_TO_DATE}) for f in files]
    assert write(report(*again)) == names
    assert rendered == []
    again[3] = file(3, run=2, key="other")
    write(report(*again))
    assert rendered == ["f0003"]
    gone = next(name for name in names if name.startswith("f0006"))
    (folder.path / FOLDER / gone).unlink()
    write(report(*again))
    assert rendered == ["f0006"]
    left = write(report(*again[:7]))
    assert len(names - left) == 1
    there.clear()
    assert not (folder.path / FOLDER).exists()


def test_files_of_a_user_stay(folder: OutputFolder) -> None:
    run = report(*(file(n) for n in range(5)))
    own = folder.path / FOLDER
    own.mkdir()
    (own / "report.css").write_text("mine")
    with pytest.raises(OutputError, match="not written by astroclean"):
        ReportPages(folder).write(pages_of(run, lambda record: record))
    assert (own / "report.css").read_text() == "mine"
    (own / "report.css").unlink()
    (own / "notes.txt").write_text("mine")
    ReportPages(folder).write(pages_of(run, lambda record: record))
    ReportPages(folder).clear()
    assert [path.name for path in own.iterdir()] == ["notes.txt"]


def test_no_link_is_followed(folder: OutputFolder, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (folder.path / FOLDER).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="symbolic link"):
        ReportPages(folder).write([])
    assert not list((tmp_path / "elsewhere").iterdir())


def test_run_of_many_has_pages_and_a_later_one_of_few_has_none(folder: OutputFolder) -> None:
    write_run_files(report(*(file(n) for n in range(6))), folder, None, page=True)
    assert (folder.path / FOLDER / "list-0002.html").is_file()
    assert FOLDER in (folder.path / "report.html").read_text()
    few_files = report(*(file(n) for n in range(2)))
    write_run_files(few_files, folder, None, page=True)
    assert not (folder.path / FOLDER).exists()
    assert 'id="file-1"' in (folder.path / "report.html").read_text()
