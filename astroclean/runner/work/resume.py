"""What need not be done again: by what the system tells of files, by their bytes, by their key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astroclean.io.remote.urls import is_url
from astroclean.report.model import FileRecord, FileStatus, Seen
from astroclean.runner.output.claims import may_hold
from astroclean.runner.output.records import seen_of
from astroclean.runner.output.stamps import is_same_object, is_unchanged, stamp_if_same
from astroclean.runner.work.saved import is_saved

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astroclean.report.model import FileStamp
    from astroclean.runner.output.folder import OutputFolder
    from astroclean.runner.plan.listing import Listed
    from astroclean.runner.plan.units import Unit

__all__ = ["SMALL", "finished_records", "unchanged_records"]

SMALL = 1 << 22
"""Bytes of a file that are sooner hashed than a worker is asked, or a new stamp is put on disk."""


def unchanged_records(
    files: Sequence[Listed],
    folder: OutputFolder,
    basis: str,
    *,
    largest: int | None,
    records: Mapping[str, FileRecord] | None = None,
) -> list[FileRecord] | None:
    """Return the records of a unit whose input, outputs and basis are what they were.

    No input is opened: its key is what it was, since nothing has changed that it depends on.

    Parameters
    ----------
    files : sequence of Listed
        The files of the unit, in the order of its bands.
    folder : OutputFolder
        Output folder.
    basis : str
        What the keys depend on beside the inputs; empty where that cannot be said.
    largest : int or None
        Bytes up to which a file is hashed that has another time than on record.
    records : mapping of str to FileRecord, optional
        By base, what was read already of all that may be up to date.

    Returns
    -------
    list of FileRecord or None
        None where anything changed, or may have.
    """
    found: list[tuple[FileRecord, Seen]] = []
    for file in files if basis else ():
        record = folder.record(file.base) if records is None else records.get(file.base)
        seen = None if record is None else _seen_again(record, file, folder, basis, largest)
        if record is None or seen is None:
            return None
        found.append((record, seen))
    # The key of a unit names all its files: with another partner, it is another.
    keys = {record.key for record, _ in found}
    if len(keys) != 1 or keys.pop().count("+") != len(files) - 1:
        return None
    return [
        _up_to_date(record, seen, folder, file.input, file.source)
        for file, (record, seen) in zip(files, found, strict=True)
    ]


def _seen_again(
    record: FileRecord, file: Listed, folder: OutputFolder, basis: str, largest: int | None
) -> Seen | None:
    """Return by what a record is known to hold now; None where it does not, or may not."""
    seen = record.seen
    if seen is None or not may_hold(record, file, basis):
        return None
    stamp = seen.input
    if is_url(file.path):
        stamp = stamp if is_same_object(stamp, file.version) else None
    elif not is_unchanged(stamp, file.path):
        stamp = stamp_if_same(file.path, record.content, largest=largest)
    outputs = folder.intact_outputs(record, verify=False, largest=largest) if stamp else {}
    if stamp == seen.input and outputs == seen.outputs:
        return seen
    return seen.model_copy(update={"input": stamp, "outputs": outputs}) if outputs else None


def finished_records(unit: Unit, folder: OutputFolder, *, verify: bool) -> list[FileRecord] | None:
    """Return the records of a unit that was planned, where its key and its outputs are the same.

    Parameters
    ----------
    unit : Unit
        As planned now.
    folder : OutputFolder
        Output folder.
    verify : bool
        Whether outputs are hashed though size, time and inode are as they were.

    Returns
    -------
    list of FileRecord or None
        None where the unit must be processed.
    """
    found: list[tuple[FileRecord, Seen]] = []
    for plan in unit.plans:
        record = folder.record(plan.base)
        if record is None or not record.key or record.key != unit.key:
            return None
        outputs = folder.intact_outputs(record, verify=verify)
        if not outputs:
            return None
        found.append((record, seen_of(plan, outputs)))
    if unit.plans[0].pipeline.config.run.keep_stages and not is_saved(unit, folder):
        return None
    return [
        _up_to_date(record, seen, folder, plan.input, plan.source)
        for plan, (record, seen) in zip(unit.plans, found, strict=True)
    ]


def _up_to_date(
    record: FileRecord, seen: Seen, folder: OutputFolder, name: str, source: str
) -> FileRecord:
    """Return a record as of this run; put on record what spares the next run a reading."""
    if _is_worth_it(record, seen) or record.source != source:
        told = record.model_copy(update={"input": name, "source": source})
        folder.remember(told.base, told, seen)
    now = {"input": name, "source": source, "status": FileStatus.UP_TO_DATE, "seen": None}
    return record.model_copy(update=now)


def _is_worth_it(record: FileRecord, seen: Seen) -> bool:
    old = record.seen
    if old is seen:
        return False
    if old is None or old.basis != seen.basis:
        return True
    pairs = [(old.input, seen.input), *((old.outputs.get(n), s) for n, s in seen.outputs.items())]
    return any(new is not None and new != before and _is_dear(new) for before, new in pairs)


def _is_dear(stamp: FileStamp) -> bool:
    """Return whether the next run should be spared to read it: it is large, or in a store."""
    return stamp.size > SMALL or not stamp.inode
