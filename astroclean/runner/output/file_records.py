"""What is on record of the files of an output folder, and whether it is still true.

What lies in ``.astroclean`` may have been prepared by someone else: it is read as data, and names
of a record stay in the folder.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pydantic import ValidationError

from astroclean.io.products.names import OWN_FOLDER, is_plain_name
from astroclean.report.model import FileRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from astroclean.report.model import FileStamp, Seen
    from astroclean.runner.output.depot import Depot

__all__ = ["RECORDS", "FileRecords"]

RECORDS = f"{OWN_FOLDER}/records"
"""Folder of the records."""
_RECORD = ".json"
_PICTURES = ".pictures.json"
_LARGEST_RECORD = 1 << 28  # bytes; pictures of some dozens of frames are in it


class FileRecords:
    """Records of finished and begun files, one a file, and what they say of the outputs.

    Parameters
    ----------
    depot : Depot
        Where the output folder is kept.
    """

    def __init__(self, depot: Depot) -> None:
        self.depot = depot

    def gather_records(self, bases: Iterable[str] | None = None) -> None:
        """Prepare to be asked for the records of files, all of them by default."""
        self.depot.gather(None if bases is None else [_record_name(base) for base in bases])

    def finish(self, base: str, record: FileRecord) -> list[str]:
        """Remember that a file is finished; written last, so that a record means outputs.

        Outputs of an earlier run that this one did not write are removed, where they are as they
        were written: they would pass for results of the present options.

        Parameters
        ----------
        base : str
            What the names of its outputs begin with.
        record : FileRecord
            What was done.

        Returns
        -------
        list of str
            Names of the outputs that were removed.
        """
        before = self.record(base)
        removed = []
        for name, digest in (before.outputs if before else {}).items():
            if name in record.outputs or not self.depot.is_regular(name):
                continue
            # One without digest was begun; whoever began it made sure that it is no user's.
            if not digest or self.depot.stamp(name, digest, None, verify=True, largest=None):
                self.depot.remove(name)
                removed.append(name)
        self._save(base, record)
        return removed

    def _save(self, base: str, record: FileRecord) -> None:
        pictures = _record_name(base, _PICTURES)
        if record.has_pictures:
            # Apart: of a hundred thousand records, a page shows the pictures of some.
            self.depot.write(pictures, [record.model_dump_json()])
        elif record.key:
            self.depot.remove(pictures)
        self.depot.write(_record_name(base), [record.bare().model_dump_json()])

    def begin(self, base: str, record: FileRecord) -> None:
        """Remember that outputs are about to be written: what lies there is astroclean's own.

        Parameters
        ----------
        base : str
            What the names of its outputs begin with.
        record : FileRecord
            The input, and the names of its outputs with empty digests.
        """
        before = self.record(base)
        outputs = {**(before.outputs if before else {}), **record.outputs}
        self._save(base, record.model_copy(update={"key": "", "outputs": outputs}))

    def reopen(self, base: str) -> None:
        """Let a file be processed again; its old outputs still count as astroclean's own."""
        record = self.record(base)
        if record is not None:
            self._save(base, record.model_copy(update={"key": ""}))

    def remember(self, base: str, record: FileRecord, seen: Seen) -> None:
        """Put on record by what a finished file was found to be up to date.

        Parameters
        ----------
        base : str
            What the names of its outputs begin with.
        record : FileRecord
            As it is on record.
        seen : Seen
            What tells that it is.
        """
        told = record.model_copy(update={"seen": seen}).model_dump_json()
        self.depot.write(_record_name(base), [told])

    def forget(self, base: str) -> None:
        """Forget that anything was written for a file."""
        for ending in (_RECORD, _PICTURES):
            self.depot.remove(_record_name(base, ending))

    def record(self, base: str) -> FileRecord | None:
        """Return what is on record of a file, or None: a damaged record is none.

        So is one that names files outside of the folder: they would be read and removed.
        """
        return self._read(_record_name(base))

    def has_record(self, base: str) -> bool:
        """Return whether anything is on record of a file, be it damaged."""
        return self.depot.is_there(_record_name(base))

    def with_pictures(self, record: FileRecord) -> FileRecord | None:
        """Return a finished file's record with its pictures, or None where none are kept."""
        kept = self._read(_record_name(record.base, _PICTURES))
        if kept is None or not kept.key or kept.key != record.key:
            return None
        return kept if kept.has_pictures else None

    def finished(self, base: str, key: str) -> FileRecord | None:
        """Return the record of a file whose outputs are all there, unchanged, for this key.

        Parameters
        ----------
        base : str
            What the names of its outputs begin with.
        key : str
            Its resume key.

        Returns
        -------
        FileRecord or None
            None where the file must be processed. Every output was hashed.
        """
        record = self.record(base)
        if record is None or not key or record.key != key:
            return None
        return record if self.intact_outputs(record, verify=True) else None

    def intact_outputs(
        self, record: FileRecord, *, verify: bool, largest: int | None = None
    ) -> dict[str, FileStamp]:
        """Return the outputs of a file with their stamps, where all are as they were written.

        Parameters
        ----------
        record : FileRecord
            Of the input.
        verify : bool
            Whether they are hashed though size, time and inode are as they were.
        largest : int, optional
            Bytes up to which one is hashed; a larger one that would have to be counts as changed.

        Returns
        -------
        dict of str to FileStamp
            Empty where one is gone, another or changed, or there are none.
        """
        stamps = {}
        for name, digest in record.outputs.items():
            known = record.seen.outputs.get(name) if record.seen else None
            stamp = self.depot.stamp(name, digest, known, verify=verify, largest=largest)
            if stamp is None:
                return {}
            stamps[name] = stamp
        return stamps

    def is_there(self, name: str) -> bool:
        """Return whether anything of this name is in the folder, a dangling link among it."""
        return self.depot.is_there(name)

    def is_foreign(self, name: str, record: FileRecord | None) -> bool:
        """Return whether something of this name is there that astroclean did not write.

        Parameters
        ----------
        name : str
            Of an output.
        record : FileRecord or None
            What is on record of its input.
        """
        if not self.is_there(name):
            return False
        if not self.depot.is_regular(name):
            return True  # astroclean writes no links, folders or pipes
        if record is not None and name in record.outputs:
            return False
        return not self.depot.is_own(name)

    def _read(self, name: str) -> FileRecord | None:
        content = self.depot.read(name, _LARGEST_RECORD)
        if content is None:
            return None
        try:
            record = FileRecord.model_validate_json(content)
        except (ValidationError, UnicodeDecodeError):
            return None
        return record if all(map(is_plain_name, record.outputs)) else None


def _record_name(base: str, ending: str = _RECORD) -> str:
    # Names hold any character and may be long; the digest keeps this one safe.
    digest = hashlib.sha256(base.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return f"{RECORDS}/{digest}{ending}"
