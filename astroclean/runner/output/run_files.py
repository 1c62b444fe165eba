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
            from astroclean.report.html import render_report  # noqa: PLC0415 - Jinja2 on use

            folder.write_parts("report.html", [render_report(with_pictures(joined, folder))])
    except (AstrocleanError, MemoryError) as error:
        report.notes.append(f"the run is not on record: {error or 'not enough memory'}")
        report.exit_code = report.exit_code or ExitCode.SOME_FAILED
