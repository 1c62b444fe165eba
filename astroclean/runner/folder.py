"""The output folder: one run at a time, records of what is finished, scratch on the same disk."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from typing import TYPE_CHECKING

from pydantic import ValidationError

from astroclean.errors import OutputError
from astroclean.io.atomic import atomic_text
from astroclean.io.origin import is_written_by_astroclean
from astroclean.io.resources import file_digest
from astroclean.report.model import FileRecord, FileStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["OutputFolder"]


class OutputFolder:
    """Where a run writes. Everything of astroclean's own lies in ``.astroclean/``.

    Parameters
    ----------
    path : Path
        The folder; made when missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._own = path / ".astroclean"
        self.scratch = self._own / "scratch"
        """Unfinished files; there only while a run lasts."""
        self.stages = self._own / "stages"
        """Frames saved between stages."""

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one run.

        Raises
        ------
        OutputError
            It cannot be made or written, or another run holds it.
        """
        try:
            self._own.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._own / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise OutputError(
                f"output folder cannot be used: {error.strerror}",
                where=str(self.path),
                remedy="Name another with -o.",
            ) from error
        try:
            # The kernel lets go of the lock when the process dies, however it dies.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise OutputError(
                "another run is writing here",
                where=str(self.path),
                remedy="Wait for it, or name another folder with -o.",
            ) from error
        try:
            self._prepare()
            yield
        finally:
            # A worker that was killed has left its unfinished file.
            shutil.rmtree(self.scratch, ignore_errors=True)
            os.close(handle)

    def _prepare(self) -> None:
        try:
            shutil.rmtree(self.scratch, ignore_errors=True)
            for folder in (self.scratch, self._own / "records", self.stages):
                folder.mkdir(exist_ok=True)
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

    def _record_path(self, stem: str) -> Path:
        # Stems hold any character and may be long; the digest keeps the name safe.
        digest = hashlib.sha256(stem.encode("utf-8", "surrogateescape")).hexdigest()[:24]
        return self._own / "records" / f"{digest}.json"

    def finish(self, stem: str, record: FileRecord) -> None:
        """Remember that a file is finished; written last, so that a record means outputs.

        Outputs of an earlier run that this one did not write are removed: they would pass for
        results of the present options.
        """
        before = self._record(stem)
        for name in set(before.outputs if before else ()) - set(record.outputs):
            (self.path / name).unlink(missing_ok=True)
        self._save(stem, record)

    def _save(self, stem: str, record: FileRecord) -> None:
        atomic_text(self._record_path(stem), record.model_dump_json(), scratch=self.scratch)

    def begin(self, stem: str, names: Iterable[str]) -> None:
        """Remember that outputs are about to be written: what lies there is astroclean's own."""
        before = self._record(stem)
        outputs = {**(before.outputs if before else {}), **dict.fromkeys(names, "")}
        self._save(stem, FileRecord(input="", status=FileStatus.FAILED, outputs=outputs))

    def reopen(self, stem: str) -> None:
        """Let a file be processed again; its old outputs still count as astroclean's own."""
        record = self._record(stem)
        if record is not None:
            self._save(stem, record.model_copy(update={"key": ""}))

    def forget(self, stem: str) -> None:
        """Forget that anything was written for a file."""
        self._record_path(stem).unlink(missing_ok=True)

    def _record(self, stem: str) -> FileRecord | None:
        try:
            text = self._record_path(stem).read_text(encoding="utf-8")
            return FileRecord.model_validate_json(text)
        except (OSError, ValidationError, UnicodeDecodeError):
            return None

    def finished(self, stem: str, key: str) -> FileRecord | None:
        """Return the record of a file whose outputs are all there, unchanged, for this key.

        Parameters
        ----------
        stem : str
            Stem of the input.
        key : str
            Its resume key.

        Returns
        -------
        FileRecord or None
            None where the file must be processed.
        """
        record = self._record(stem)
        if record is None or record.key != key or not record.outputs:
            return None
        for name, digest in record.outputs.items():
            path = self.path / name
            if not path.is_file() or file_digest(path) != digest:
                return None
        return record

    def is_foreign(self, name: str, stem: str) -> bool:
        """Return whether a file of this name is there that astroclean did not write."""
        path = self.path / name
        if not path.exists():
            return False
        record = self._record(stem)
        if record is not None and name in record.outputs:
            return False
        return not is_written_by_astroclean(path)

    def write_text(self, name: str, text: str) -> None:
        """Write a text file of the run itself.

        Raises
        ------
        FitsWriteError
            It cannot be written.
        """
        atomic_text(self.path / name, text, scratch=self.scratch)
