"""What `run` and `merge` print of a run that has ended."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from astroclean.report.model import FileStatus

if TYPE_CHECKING:
    from astroclean.report.model import FileRecord, RunReport

__all__ = ["tell_outcome"]


def tell_outcome(report: RunReport, *, quiet: bool, verbose: int, is_shard: bool = False) -> None:
    """Print what a run did, and what failed on the standard error.

    Parameters
    ----------
    report : RunReport
        The run.
    quiet : bool
        Whether to print what failed alone.
    verbose : int
        From 1 on with notes and tracebacks.
    is_shard : bool
        Whether it has no page of its own, because `merge` writes it.
    """
    for record in report.files:
        if record.status == FileStatus.FAILED:
            print(f"astroclean: failed: {record.error}", file=sys.stderr)
            if verbose and record.traceback:
                print(record.traceback, file=sys.stderr)
        elif not quiet:
            print(_line(record))
            for note in record.notes if verbose else []:
                print(f"    note: {note}")
        if not quiet:
            _warn(record)
    if quiet:
        return
    for note in report.notes:
        print(f"note: {note}")
    counts = (f"{report.count(status)} {status}" for status in FileStatus if report.count(status))
    page = f"{report.output}/report.html"
    then = f"`astroclean merge {report.output}` when all shards have ended" if is_shard else page
    print(f"{', '.join(counts) or 'nothing to do'} in {report.seconds:.1f} s; {then}")
    told = [
        _counted(sum(len(record.notes) for record in report.files), "note"),
        _counted(sum(len(r.suspect) + len(r.contradictions) for r in report.files), "warning"),
    ]
    if any(told):
        see = "-v prints them" if is_shard else f"see report.html{'' if verbose else ' (or -v)'}"
        print(f"{', '.join(filter(None, told))}: {see}")


def _warn(record: FileRecord) -> None:
    for word, texts in (("suspect", record.suspect), ("contradiction", record.contradictions)):
        for text in texts:
            print(f"    {word}: {text}")


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}" if count else ""


def _line(record: FileRecord) -> str:
    if record.status == FileStatus.REJECTED:
        return f"{record.input}: rejected by {_verdicts(record)}; not processed further"
    changed = sum(frame.pixels_changed for frame in record.frames)
    named = list(record.outputs)[-1]  # the cleaned file is written last
    pictures = f"{len(record.frames)} frame{'s' if len(record.frames) != 1 else ''}"
    first = "calibrated, then " if any(f.is_calibrated for f in record.frames) else ""
    done = (
        f"{record.input}: {record.status}, {pictures}, {first}{_replaced(record)}{changed} pixels "
        f"changed{_added(record)} -> {named}"
    )
    if record.rejected_by is not None:
        return f"{done}; found unusable by {_verdicts(record)}"
    return f"{done}; screened by {_verdicts(record)}" if record.screening else done


def _replaced(record: FileRecord) -> str:
    names = dict.fromkeys(frame.replaced_by for frame in record.frames if frame.replaced_by)
    return f"replaced by {', '.join(names)}, " if names else ""


def _added(record: FileRecord) -> str:
    """Return the layers that are what the run was for, though no pixel need have changed."""
    results = [frame.result for frame in record.frames if frame.result and not frame.replaced_by]
    names = dict.fromkeys(results)
    return f", {', '.join(names)} added" if names else ""


def _verdicts(record: FileRecord) -> str:
    return ", ".join(
        f"{stage} (probability {probability:.2g})"
        for stage, probability in record.screening.items()
        if record.rejected_by in {None, stage}
    )
