"""`report.html`: one file that needs no network, for the person who ran the pipeline."""

from __future__ import annotations

import functools
import shlex
from typing import TYPE_CHECKING, Any

from astroclean.report import view
from astroclean.report.chances import THRESHOLDS
from astroclean.report.model import ExitCode, FileStatus

if TYPE_CHECKING:
    import jinja2

    from astroclean.report.model import FileRecord, RunReport

__all__ = ["MAX_PICTURES", "pictured_frames", "render", "render_report", "told_of"]

MAX_PICTURES = 24
"""Frames with pictures; a page with more would be slow to open and to send."""

_EXIT_TEXT = {
    ExitCode.SOME_FAILED: "Some inputs failed; the others are written.",
    ExitCode.USAGE: "The configuration or the command line is wrong.",
    ExitCode.PLUGIN: "A plugin, an engine or its weights cannot be used.",
    ExitCode.NO_INPUT: "No input matched.",
    ExitCode.INTERRUPTED: "The run was interrupted; files that were finished are written.",
}


def pictured_frames(report: RunReport, *, limit: int = MAX_PICTURES) -> set[tuple[int, int]]:
    """Choose the frames whose pictures are shown.

    Parameters
    ----------
    report : RunReport
        The run. Not modified.
    limit : int, optional
        How many frames at most.

    Returns
    -------
    set of (int, int)
        Index of the file and of the frame in it: those with most changed pixels, the earlier
        first among equals; none of a file that failed.
    """
    ranked = [
        (-frame.pixels_changed, i, j)
        for i, file in enumerate(report.files)
        for j, frame in enumerate(file.frames)
        if file.status != FileStatus.FAILED and (frame.previews or frame.histogram)
    ]
    return {(i, j) for _, i, j in sorted(ranked)[:limit]}


def render_report(report: RunReport) -> str:
    """Render a run as a page that stands alone.

    Parameters
    ----------
    report : RunReport
        The run, with pictures. Not modified.

    Returns
    -------
    str
        HTML with style, script and pictures within; links to outputs are relative to the output
        folder, where the page belongs.
    """
    pictured = pictured_frames(report)
    drawable = sum(
        bool(frame.previews or frame.histogram)
        for file in report.files
        if file.status != FileStatus.FAILED
        for frame in file.frames
    )
    return render(
        "report.html.j2",
        report=report,
        pictured=pictured,
        drawable=drawable,
        files_at=_place_in_page,
        **told_of(report),
    )


def _place_in_page(index: int, file: FileRecord) -> str:
    return "" if file.status == FileStatus.FAILED else f"#file-{index}"


def told_of(report: RunReport) -> dict[str, Any]:
    """Return what pages tell of a run as a whole, for :func:`render`."""
    return {
        "failed": [f for f in report.files if f.status == FileStatus.FAILED],
        "headline": _headline(report),
        "exit_text": _exit_text(report.exit_code),
        "settings": view.settings(report),
        "command": shlex.join(report.command),
    }


def render(template: str, *, root: str = "./", **told: Any) -> str:
    """Render a page.

    Parameters
    ----------
    template : str
        File in the folder of templates.
    root : str, optional
        Where the output folder lies for links; a page elsewhere has style and script beside it.
    **told
        What the template asks for.
    """
    known = {"statuses": list(FileStatus), "ladder": THRESHOLDS, "root": root}
    return _environment().get_template(template).render(**known, **told)


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2  # noqa: PLC0415 - only reports need Jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("astroclean.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(view.FILTERS)
    environment.globals.update(view.FUNCTIONS)
    return environment


def _exit_text(code: int) -> str:
    known = code in set(ExitCode)
    return _EXIT_TEXT.get(ExitCode(code), "") if known else f"Exit status {code}."


def _headline(report: RunReport) -> str:
    total = len(report.files)
    if not total:
        return "No files"
    counts = {status: report.count(status) for status in FileStatus}
    said = [f"{n:,} {status}" for status, n in counts.items() if n]
    return f"{total:,} file{'s' * (total != 1)}: {', '.join(said)}"
