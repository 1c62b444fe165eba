"""The report of very many files: a summary, lists, and a page for each file beside it."""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files as package_files
from typing import TYPE_CHECKING, Any

from astroclean.report.html import render, told_of
from astroclean.report.model import FileStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from astroclean.report.model import FileRecord, RunReport

__all__ = ["FOLDER", "MAX_FILES", "Page", "pages_of", "render_summary"]

MAX_FILES = 2000
"""Files that one page tells of in full; a browser takes seconds for more."""
FOLDER = "report_pages"
"""Where the pages of files and lists lie, beside ``report.html``."""
_LIST = 500
"""Files of a list."""
_TOLD = 20
"""Failed and suspect files that the summary tells of."""
_LONGEST = 80
_MARK = '/* Of pages with <meta name="generator" content="astroclean ..."> */\n'
"""Begins style and script, by which they are known for astroclean's own as pages are."""


@dataclass(frozen=True)
class Page:
    """A file of the folder of pages."""

    name: str
    digest: str
    """Of all that it tells: it is not written again while that is the same."""
    text: Callable[[], str]


@dataclass(frozen=True)
class _List:
    """Files that are listed on one page."""

    number: int
    first: int
    files: list[FileRecord]

    @property
    def name(self) -> str:
        return f"list-{self.number:04d}.html"

    @property
    def last(self) -> int:
        return self.first + len(self.files) - 1

    @property
    def suspect(self) -> int:
        return sum(bool(file.suspect) for file in self.files)

    def count(self, status: FileStatus) -> int:
        return sum(file.status == status for file in self.files)


@dataclass
class _Sums:
    """What is added up for an instrument."""

    files: int = 0
    frames: int = 0
    changed: int = 0
    pixels: int = 0
    seconds: float = 0.0

    def add(self, file: FileRecord) -> None:
        self.files += 1
        self.frames += len(file.frames)
        self.changed += sum(frame.pixels_changed for frame in file.frames)
        self.pixels += sum(frame.shape[0] * frame.shape[1] for frame in file.frames)
        self.seconds += file.seconds


def render_summary(report: RunReport) -> str:
    """Render the page that leads to those of the files.

    Parameters
    ----------
    report : RunReport
        The run, without pictures. Not modified.

    Returns
    -------
    str
        HTML with style and script within. Its size grows by a line for every 500 files.
    """
    instruments: dict[str, _Sums] = {}
    for file in report.files:
        instruments.setdefault(file.instrument, _Sums()).add(file)
    return render(
        "summary.html.j2",
        report=report,
        suspect=[f for f in report.files if f.suspect and f.status != FileStatus.FAILED],
        shown=_TOLD,
        lists=_lists(report),
        folder=FOLDER,
        instruments=dict(sorted(instruments.items())),
        place_of=lambda file: f"./{FOLDER}/{_name_of(file)}",
        error_of=lambda file: file.error or "No reason was recorded.",
        suspicion_of=lambda file: file.suspect[0],
        **told_of(report),
    )


def pages_of(
    report: RunReport, with_pictures: Callable[[FileRecord], FileRecord]
) -> Iterator[Page]:
    """Yield the files of the folder of pages: style, script, lists, and a page for each file.

    Parameters
    ----------
    report : RunReport
        The run, without pictures. Not modified.
    with_pictures : callable
        Returns the record of a file with those that are kept of it; called for pages alone that
        are rendered.
    """
    for name in ("report.css", "report.js"):
        text = _MARK + _template(name)
        yield Page(name, _digest(text), lambda text=text: text)  # type: ignore[misc]
    lists = _lists(report)
    names = [one.name for one in lists]
    for one, before, after in zip(lists, ["", *names], [*names[1:], ""], strict=False):
        told = {"before": before, "after": after, "total": len(report.files)}
        rows = [_row(file) for file in one.files]
        render_one = functools.partial(_render_list, report, one, told)
        yield Page(one.name, _digest(one.first, told, rows), render_one)
    for file in report.files:
        render_file = functools.partial(_render_file, report, file, with_pictures)
        yield Page(_name_of(file), _digest(_content(file)), render_file)


def _lists(report: RunReport) -> list[_List]:
    return [
        _List(number, first + 1, report.files[first : first + _LIST])
        for number, first in enumerate(range(0, len(report.files), _LIST), 1)
    ]


def _render_list(report: RunReport, one: _List, told: dict[str, Any]) -> str:
    return render(
        "list.html.j2",
        root="../",
        report=report,
        first=one.first,
        last=one.last,
        files=one.files,
        files_at=lambda _, file: f"./{_name_of(file)}",
        **told,
    )


def _render_file(
    report: RunReport, file: FileRecord, with_pictures: Callable[[FileRecord], FileRecord]
) -> str:
    shown = with_pictures(file).model_copy(update={"status": _lasting(file)})
    pictured = {(0, number) for number in range(len(shown.frames))}
    return render("file.html.j2", root="../", report=report, file=shown, pictured=pictured)


def _lasting(file: FileRecord) -> FileStatus:
    """Return a status that the next run does not change: what is up to date was done once."""
    return FileStatus.DONE if file.status == FileStatus.UP_TO_DATE else file.status


def _name_of(file: FileRecord) -> str:
    """Return the name of the page of a file: to be read by people, and of no other file."""
    readable = re.sub(r"[^A-Za-z0-9._+-]+", "_", file.base or file.input.rpartition("/")[2])
    digest = hashlib.sha256((file.source or file.input).encode("utf-8", "surrogateescape"))
    return f"{readable[:_LONGEST].lstrip('.')}-{digest.hexdigest()[:12]}.html"


def _row(file: FileRecord) -> tuple[Any, ...]:
    return (file.input, str(file.status), bool(file.suspect), file.run, tuple(file.outputs))


def _content(file: FileRecord) -> tuple[Any, ...]:
    """Return what tells a record from others of its input.

    All that a run found follows from its number; a later run may say what became of the outputs.
    """
    told = (file.notes, file.suspect, file.contradictions, file.error)
    return (file.source, file.run, file.key, str(_lasting(file)), tuple(file.outputs), *told)


def _digest(*content: Any) -> str:
    """Return a digest of what a page tells, and of how pages look."""
    return hashlib.sha256(repr((_look(), content)).encode("utf-8", "surrogateescape")).hexdigest()


@functools.cache
def _look() -> str:
    names = ("base.html.j2", "parts.html.j2", "list.html.j2", "file.html.j2")
    return hashlib.sha256("".join(map(_template, names)).encode()).hexdigest()


def _template(name: str) -> str:
    return (package_files("astroclean.report") / "templates" / name).read_text("utf-8")
