"""The output folder: one run at a time, records of what is finished, scratch on the same disk.

A folder may have been prepared by someone else. So what lies in ``.astroclean`` is read as data,
names of a record stay in the folder, and no symbolic link is followed: not to read, not to write,
not to remove.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from astroclean.core.regular import kind_of_special
from astroclean.errors import OutputError
from astroclean.io.products.names import is_plain_name
from astroclean.io.products.origin import is_written_by_astroclean
from astroclean.io.resources import file_digest
from astroclean.io.scratch.arrays import open_regular
from astroclean.io.scratch.atomic import atomic_text
from astroclean.report.model import FileRecord
from astroclean.runner.output.lock import folder_lock, lock_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from astroclean.runner.plan.shard import Shard

__all__ = ["OutputFolder"]

_LARGEST_RECORD = 1 << 28  # bytes; pictures of some dozens of frames are in it


class OutputFolder:
    """Where a run writes. Everything of astroclean's own lies in ``.astroclean/``.

    Parameters
    ----------
    path : Path
        The folder; made when missing.
    run : str, optional
        Name of the run, which no other has; by default a new one. Jobs carry it to their workers.
    shard : Shard, optional
        Which shard of a run writes; by default a whole run does.
    """

    def __init__(self, path: Path, *, run: str | None = None, shard: Shard | None = None) -> None:
        self.path = path
        self.run = run or uuid.uuid4().hex
        self.shard = shard
        self._own = path / ".astroclean"
        self.shards = self._own / "shards"
        """What shards leave for `astroclean merge`, and their locks."""
        self._all_scratch = self._own / "scratch"
        # What other shards have begun is theirs.
        self._scratches = self._all_scratch / shard.file_stem if shard else self._all_scratch
        self.scratch = self._scratches / self.run
        """Unfinished files of this run, and of no other: a worker of one that was killed may live
        for a moment longer. It is there only while the run lasts."""
        self._records = self._own / "records"
        self.stages = self._own / "stages"
        """Frames saved between stages."""

    def absolute(self) -> OutputFolder:
        """Return the folder of the same run by its absolute path, for jobs."""
        path = Path(os.path.abspath(self.path))  # noqa: PTH100 - links keep their names
        return OutputFolder(path, run=self.run, shard=self.shard)

    def again(self) -> OutputFolder:
        """Return the same folder for a run of another name."""
        return OutputFolder(self.path, shard=self.shard)

    @contextlib.contextmanager
    def locked(self) -> Iterator[list[str]]:
        """Hold the folder for one run: a whole one alone, a shard beside other shards.

        Yields
        ------
        list of str
            What is to be said of the lock.

        Raises
        ------
        OutputError
            It cannot be made or written, or another run holds it.
        """
        try:
            self._own.mkdir(parents=True, exist_ok=True)
            self.refuse_links()
            self.shards.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"output folder cannot be used: {error.strerror}",
                where=str(self.path),
                remedy="Name another with -o.",
            ) from error
        with folder_lock(self._own, self.shard) as notes:
            try:
                self._prepare()
                yield notes
            finally:
                # A worker that was killed has left its unfinished file.
                shutil.rmtree(self._scratches, ignore_errors=True)

    def refuse_links(self) -> None:
        """Refuse a folder whose own parts lead elsewhere, which would be emptied or filled.

        Raises
        ------
        OutputError
            A part is a symbolic link, or the lock is no file.
        """
        locks = lock_files(self._own, self.shard)
        folders = (self._own, self._records, self._all_scratch, self.stages, self.shards)
        for part in (*folders, self._scratches, *locks):
            if part.is_symlink():
                raise OutputError(
                    "a part of the output folder is a symbolic link, and astroclean follows none",
                    where=str(part),
                    remedy="Remove the link, or name another folder with -o.",
                )
        for lock in locks:
            kind = kind_of_special(lock)
            if kind is not None:
                raise OutputError(
                    f"the lock of the output folder is {kind}, not a regular file",
                    where=str(lock),
                    remedy="Remove it, or name another folder with -o.",
                )

    def _prepare(self) -> None:
        try:
            # Whatever is there is of a run that was killed: this one has the lock.
            shutil.rmtree(self._scratches, ignore_errors=True)
            for folder in (self._all_scratch, self._scratches, self._records, self.stages):
                folder.mkdir(exist_ok=True)
            # What workers hand to one another is of nobody else.
            self._all_scratch.chmod(0o700)
            self.scratch.mkdir(mode=0o700)
            self.refuse_links()
            if self.shard is None:
                for unfinished in self.stages.glob(".unfinished-*"):
                    unfinished.unlink()
            probe = self.scratch / "probe"
            probe.write_bytes(b"astroclean")
            probe.unlink()
        except OSError as error:
            raise OutputError(
                f"output folder cannot be written: {error.strerror}",
                where=str(self.path),
                remedy="Name another with -o, or make room.",
            ) from error

    def _record_path(self, base: str) -> Path:
        # Names hold any character and may be long; the digest keeps this one safe.
        digest = hashlib.sha256(base.encode("utf-8", "surrogateescape")).hexdigest()[:24]
        return self._records / f"{digest}.json"

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
        atomic_text(self._record_path(base), record.model_dump_json(), scratch=self.scratch)

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

    def forget(self, base: str) -> None:
        """Forget that anything was written for a file."""
        self._record_path(base).unlink(missing_ok=True)

    def record(self, base: str) -> FileRecord | None:
        """Return what is on record of a file, or None: a damaged record is none.

        So is one that names files outside of the folder: they would be read and removed.
        """
        try:
            with open_regular(self._record_path(base)) as stream:
                text = stream.read(_LARGEST_RECORD)
            record = FileRecord.model_validate_json(text)
        except (OSError, ValidationError, UnicodeDecodeError):
            return None
        return record if all(map(is_plain_name, record.outputs)) else None

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
            None where the file must be processed.
        """
        record = self.record(base)
        if record is None or record.key != key or not record.outputs:
            return None
        for name, digest in record.outputs.items():
            if not self._is_regular(name) or file_digest(self.path / name) != digest:
                return None
        return record

    def is_there(self, name: str) -> bool:
        """Return whether anything of this name is in the folder, a dangling link among it."""
        try:
            return os.path.lexists(self.path / name)
        except ValueError:  # NUL
            return False

    def _is_regular(self, name: str) -> bool:
        try:
            return stat.S_ISREG((self.path / name).lstat().st_mode)
        except (OSError, ValueError):
            return False

    def is_foreign(self, name: str, base: str) -> bool:
        """Return whether something of this name is there that astroclean did not write.

        Parameters
        ----------
        name : str
            Of an output.
        base : str
            What the names of the outputs of its input begin with.
        """
        if not self.is_there(name):
            return False
        if not self._is_regular(name):
            return True  # astroclean writes no links, folders or pipes
        record = self.record(base)
        if record is not None and name in record.outputs:
            return False
        return not is_written_by_astroclean(self.path / name)

    def read_text(self, name: str, limit: int) -> str | None:
        """Return the beginning of a text file of the folder, or None where there is none."""
        try:
            with open_regular(self.path / name) as stream:
                return stream.read(limit).decode("utf-8", "replace")
        except OSError:
            return None

    def write_text(self, name: str, text: str) -> None:
        """Write a text file of the run itself.

        Raises
        ------
        FitsWriteError
            It cannot be written.
        """
        atomic_text(self.path / name, text, scratch=self.scratch)
