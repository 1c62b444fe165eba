"""`run.json` and `report.html` of an output folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astroclean.errors import AstrocleanError
from astroclean.report.history import with_earlier
from astroclean.report.model import ExitCode
from astroclean.runner.output.claims import with_pictures

if TYPE_CHECKING:
    from astroclean.report.model import RunReport
    from astroclean.report.record_file import Earlier
    from astroclean.runner.output.folder import OutputFolder

__all__ = ["write_run_files"]


def write_run_files(
    report: RunReport, folder: OutputFolder, earlier: Earlier | None, *, page: bool
) -> None:
    """Write record and page of a folder; where there is no room, the run has failed.

    Parameters
    ----------
    report : RunReport
        The run that has ended; where it cannot be put on record, that is noted in it.
    folder : OutputFolder
        Held by the caller.
    earlier : Earlier or None
        What earlier runs left in the folder.
    page : bool
        Whether ``report.html`` is written.
    """
    try:
        folder.depot.refresh()
        joined = with_earlier(report, earlier, is_there=folder.is_there)
        folder.write_parts("run.json", joined.json_parts())
        if page:
            _write_page(joined, folder)
    except (AstrocleanError, MemoryError) as error:
        report.notes.append(f"the run is not on record: {error or 'not enough memory'}")
        report.exit_code = report.exit_code or ExitCode.SOME_FAILED


def _write_page(report: RunReport, folder: OutputFolder) -> None:
    """Write ``report.html``; of very many files a summary, and a page for each in a folder.

    In a store, one page tells of all: each of theirs would be a request.
    """
    from astroclean.report.html import render_report  # noqa: PLC0415 - Jinja2 on use
    from astroclean.report.pages import MAX_FILES, pages_of, render_summary  # noqa: PLC0415
    from astroclean.runner.output.report_pages import ReportPages  # noqa: PLC0415

    if folder.is_remote:
        folder.write_parts("report.html", [render_report(with_pictures(report, folder))])
        return
    if len(report.files) > MAX_FILES:
        pages = pages_of(report, lambda record: folder.with_pictures(record) or record)
        ReportPages(folder).write(pages)
        folder.write_parts("report.html", [render_summary(report)])
        return
    folder.write_parts("report.html", [render_report(with_pictures(report, folder))])
    ReportPages(folder).clear()
