"""The record of a folder: all of its runs, and the latest record of each input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from astroclean.io.products.names import is_plain_name
from astroclean.report.model import FileRecord, FileStatus, RunReport, RunSummary

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["is_own_page", "is_own_record", "parse_record", "with_earlier"]

_KEPT = 100
"""Runs that are told though no output is theirs any more."""
_GENERATOR = '<meta name="generator" content="astroclean'


def is_own_page(text: str) -> bool:
    """Return whether a page is a report of astroclean, by its beginning."""
    return _GENERATOR in text[:4096]


def is_own_record(text: str) -> bool:
    """Return whether a text is a ``run.json`` of astroclean, of any version."""
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError):
        return False
    wanted = {"schema_version", "exit_code", "files", "versions"}
    return isinstance(content, dict) and wanted <= content.keys()


def parse_record(text: str) -> RunReport | None:
    """Return the content of a ``run.json``; None where it is of another form."""
    try:
        return RunReport.model_validate_json(text)
    except ValidationError:
        return None


def with_earlier(
    report: RunReport, earlier: RunReport | None, *, is_there: Callable[[str], bool]
) -> RunReport:
    """Join a run with what earlier runs left in its folder.

    Parameters
    ----------
    report : RunReport
        The run that has ended. Not modified.
    earlier : RunReport or None
        ``run.json`` as it was before.
    is_there : callable
        Whether an output of a name is in the folder.

    Returns
    -------
    RunReport
        The report of the folder. Its files are the latest record of each input, sorted by name. An
        earlier failure whose input is gone is left out.
    """
    known = {_identity(old): old for old in earlier.files} if earlier else {}
    runs = list(earlier.runs) if earlier else []
    number = 1 + max((run.number for run in runs), default=0)
    files = []
    for record in report.files:
        old = known.pop(_identity(record), None)
        kept = record.status == FileStatus.UP_TO_DATE and old is not None and old.key == record.key
        run = old.run if kept and old is not None and old.run else number
        files.append(record.model_copy(update={"run": run}))
    writers = {name: record.input for record in files for name in record.outputs}
    older = [_as_it_is_now(old, writers, is_there) for old in known.values() if _matters(old)]
    files = sorted([*files, *older], key=lambda record: record.input)
    used = {record.run for record in files}
    runs = [run for run in runs[:-_KEPT] if run.number in used] + runs[-_KEPT:]
    runs.append(_summary(report, number))
    return report.model_copy(update={"files": files, "runs": runs})


def _identity(record: FileRecord) -> str:
    return record.source or record.input


def _matters(old: FileRecord) -> bool:
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
