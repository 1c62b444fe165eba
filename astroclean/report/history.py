"""The record of a folder: all of its runs, and the latest record of each input."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from astroclean.io.products.names import is_plain_name
from astroclean.report.model import FileRecord, FileStatus, RunReport, RunSummary

if TYPE_CHECKING:
    from collections.abc import Callable

    from astroclean.report.record_file import Earlier, EarlierFile, Opened

__all__ = ["is_own_page", "with_earlier"]

_KEPT = 100
"""Runs that are told though no output is theirs any more."""
_GENERATOR = b'<meta name="generator" content="astroclean'


def is_own_page(opened: Opened) -> bool:
    """Return whether a page is a report of astroclean, by its beginning."""
    try:
        with opened() as stream:
            return _GENERATOR in stream.read(4096)
    except OSError:
        return False


def with_earlier(
    report: RunReport, earlier: Earlier | None, *, is_there: Callable[[str], bool]
) -> RunReport:
    """Join a run with what earlier runs left in its folder.

    Parameters
    ----------
    report : RunReport
        The run that has ended. Not modified.
    earlier : Earlier or None
        ``run.json`` as it was before.
    is_there : callable
        Whether an output of a name is in the folder.

    Returns
    -------
    RunReport
        The report of the folder. Its files are the latest record of each input, sorted by name. An
        earlier failure whose input is gone is left out.
    """
    known = dict(earlier.files) if earlier else {}
    runs = list(earlier.runs) if earlier else []
    number = 1 + max((run.number for run in runs), default=0)
    files = []
    for record in report.files:
        old = known.pop(_identity(record), None)
        kept = record.status == FileStatus.UP_TO_DATE and old is not None and old.key == record.key
        run = old.run if kept and old is not None and old.run else number
        files.append(record.model_copy(update={"run": run}))
    writers = {name: record.input for record in files for name in record.outputs}
    gone = [name for name, old in known.items() if not _matters(old)]
    kept_records = earlier.records(known.keys() - set(gone)) if earlier else ()
    older = [_as_it_is_now(old, writers, is_there) for old in kept_records]
    files = sorted([*files, *older], key=lambda record: record.input)
    used = {record.run for record in files}
    runs = [run for run in runs[:-_KEPT] if run.number in used] + runs[-_KEPT:]
    runs.append(_summary(report, number))
    return report.model_copy(update={"files": files, "runs": runs})


def _identity(record: FileRecord) -> str:
    return record.source or record.input


def _matters(old: EarlierFile) -> bool:
    """Return whether an earlier record tells of something: not of a name that was mistyped."""
    if old.status != FileStatus.FAILED:
        return True
    path = old.source or old.input
    try:
        return Path(path).exists() or Path(path.rpartition("[")[0] or path).exists()
    except (OSError, ValueError):
        return False


def _as_it_is_now(
    old: FileRecord, writers: dict[str, str], is_there: Callable[[str], bool]
) -> FileRecord:
    """Return an earlier record with the outputs that are still its own."""
    outputs = {}
    notes = list(old.notes)
    for name, digest in old.outputs.items():
        if name in writers and old.status != FileStatus.FAILED:
            notes.append(f"{name} was replaced by the output of {writers[name]}")
        elif is_plain_name(name) and is_there(name):
            outputs[name] = digest
        else:
            notes.append(f"{name} is no longer in the folder")
    # What was up to date then is simply done now.
    status = FileStatus.DONE if old.status == FileStatus.UP_TO_DATE else old.status
    return old.model_copy(update={"outputs": outputs, "notes": notes, "status": status})


def _summary(report: RunReport, number: int) -> RunSummary:
    same = ("started", "seconds", "exit_code", "command", "description", "config", "versions")
    counts = {str(status): report.count(status) for status in FileStatus if report.count(status)}
    return RunSummary(number=number, files=counts, **{name: getattr(report, name) for name in same})
