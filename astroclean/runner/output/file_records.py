"""What is on record of the files of an output folder, and whether it is still true.

What lies in ``.astroclean`` may have been prepared by someone else: it is read as data, and names
of a record stay in the folder.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from pydantic import ValidationError

from astroclean.io.products.names import is_plain_name
from astroclean.io.products.origin import is_written_by_astroclean
from astroclean.io.resources import file_digest
from astroclean.io.scratch.arrays import open_regular
from astroclean.io.scratch.atomic import atomic_text
from astroclean.report.model import FileRecord
from astroclean.runner.output.stamps import is_of_stamp, stamp_if_same

if TYPE_CHECKING:
    from pathlib import Path

    from astroclean.report.model import FileStamp, Seen

__all__ = ["FileRecords"]

_RECORD = ".json"
_PICTURES = ".pictures.json"
_LARGEST_RECORD = 1 << 28  # bytes; pictures of some dozens of frames are in it


class FileRecords:
    """Records of finished and begun files, one a file, and what they say of the outputs.

    Parameters
    ----------
    path : Path
        The output folder.
    records : Path
        Folder of the records.
    scratch : Path
        For unfinished files, on the same disk.
    """

    def __init__(self, path: Path, records: Path, scratch: Path) -> None:
        self.path = path
        self.scratch = scratch
        """Unfinished files of this run, and of no other: a worker of one that was killed may live
        for a moment longer. It is there only while the run lasts."""
        self._records = records

    def _record_path(self, base: str) -> Path:
        # Names hold any character and may be long; the digest keeps this one safe.
        digest = hashlib.sha256(base.encode("utf-8", "surrogateescape")).hexdigest()[:24]
        return self._records / f"{digest}{_RECORD}"

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
            if name in record.outputs or not self._is_regular(name):
                continue
            # One without digest was begun; whoever began it made sure that it is no user's.
            if digest in {"", file_digest(self.path / name)}:
                (self.path / name).unlink(missing_ok=True)
                removed.append(name)
        self._save(base, record)
        return removed

    def _save(self, base: str, record: FileRecord) -> None:
        path = self._record_path(base)
        pictures = path.with_suffix(_PICTURES)
        if record.has_pictures:
            # Apart: of a hundred thousand records, a page shows the pictures of some.
            atomic_text(pictures, record.model_dump_json(), scratch=self.scratch)
        elif record.key:
            pictures.unlink(missing_ok=True)
        atomic_text(path, record.bare().model_dump_json(), scratch=self.scratch)

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
        atomic_text(self._record_path(base), told, scratch=self.scratch)

    def forget(self, base: str) -> None:
        """Forget that anything was written for a file."""
        path = self._record_path(base)
        path.unlink(missing_ok=True)
        path.with_suffix(_PICTURES).unlink(missing_ok=True)

    def record(self, base: str) -> FileRecord | None:
        """Return what is on record of a file, or None: a damaged record is none.

        So is one that names files outside of the folder: they would be read and removed.
        """
        return _read_record(self._record_path(base))

    def has_record(self, base: str) -> bool:
        """Return whether anything is on record of a file, be it damaged."""
        return os.path.lexists(self._record_path(base))

    def with_pictures(self, record: FileRecord) -> FileRecord | None:
        """Return a finished file's record with its pictures, or None where none are kept."""
        kept = _read_record(self._record_path(record.base).with_suffix(_PICTURES))
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
            stamp = record.seen.outputs.get(name) if record.seen else None
            found = self._regular(name)
            if found is None:
                return {}
            if verify or stamp is None or not is_of_stamp(stamp, found):
                stamp = stamp_if_same(self.path / name, digest, largest=largest)
            if stamp is None:
                return {}
            stamps[name] = stamp
        return stamps

    def is_there(self, name: str) -> bool:
        """Return whether anything of this name is in the folder, a dangling link among it."""
        try:
            return os.path.lexists(f"{self.path}/{name}")
        except ValueError:  # NUL
            return False

    def _is_regular(self, name: str) -> bool:
        return self._regular(name) is not None

    def _regular(self, name: str) -> os.stat_result | None:
        """Return what the system tells of a regular file of the folder; None for all else."""
        try:
            found = os.lstat(f"{self.path}/{name}")
        except (OSError, ValueError):
            return None
        return found if stat.S_ISREG(found.st_mode) else None

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
        if not self._is_regular(name):
            return True  # astroclean writes no links, folders or pipes
        if record is not None and name in record.outputs:
            return False
        return not is_written_by_astroclean(self.path / name)


def _read_record(path: Path) -> FileRecord | None:
    try:
        with open_regular(path) as stream:
            # Memory for as much as is asked for would be set aside for each of many records.
            size = os.fstat(stream.fileno()).st_size
            record = FileRecord.model_validate_json(stream.read(min(size, _LARGEST_RECORD)))
    except (OSError, ValidationError, UnicodeDecodeError):
        return None
    return record if all(map(is_plain_name, record.outputs)) else None
