"""The output folder: one run at a time, records of what is finished, scratch on the same disk.

A folder may have been prepared by someone else. So what lies in ``.astroclean`` is read as data,
names of a record stay in the folder, and no symbolic link is followed: not to read, not to write,
not to remove.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from astroclean.core.regular import kind_of_special
from astroclean.errors import OutputError
from astroclean.io.remote.urls import SCHEMES
from astroclean.io.scratch.arrays import open_regular
from astroclean.io.scratch.atomic import atomic_text
from astroclean.runner.output.file_records import FileRecords
from astroclean.runner.output.lock import folder_lock, lock_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from astroclean.runner.plan.shard import Shard

__all__ = ["OutputFolder", "refuse_url"]


def refuse_url(output: Path) -> None:
    """Refuse a URL as output folder: a path of that name would be made here.

    Raises
    ------
    OutputError
        It was one; a path has lost one of its slashes.
    """
    scheme, colon, _ = output.parts[0].partition(":") if output.parts else ("", "", "")
    if colon and scheme.lower() in SCHEMES:
        raise OutputError(
            "outputs are written to a folder of a file system, not to a URL",
            where=f"{output.parts[0]}//{'/'.join(output.parts[1:])}".rpartition("@")[2],
            remedy="Name a folder with -o, and copy it when the run has ended.",
        )


class OutputFolder(FileRecords):
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
        self.run = run or uuid.uuid4().hex
        self.shard = shard
        self._own = path / ".astroclean"
        self.shards = self._own / "shards"
        """What shards leave for `astroclean merge`, and their locks."""
        self._all_scratch = self._own / "scratch"
        # What other shards have begun is theirs.
        self._scratches = self._all_scratch / shard.file_stem if shard else self._all_scratch
        super().__init__(path, self._own / "records", self._scratches / self.run)
        self.stages = self._own / "stages"
        """Frames saved between stages."""
        self.pages_record = self._own / "pages.json"
        """What pages of files lie beside the report."""

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
