"""The output folder: one run at a time, records of what is finished, scratch on the same disk.

One that lies in a store has a local folder beside it, as long as the run lasts: all is made there.

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
from astroclean.core.run_cache import begin_run
from astroclean.errors import OutputError
from astroclean.io.products.names import OWN_FOLDER
from astroclean.io.remote.urls import check_url, is_url, is_web, path_or_url
from astroclean.io.scratch.folders import temporary_folder
from astroclean.runner.output.depot import FolderDepot
from astroclean.runner.output.file_records import RECORDS, FileRecords
from astroclean.runner.output.lock import folder_lock, lock_files
from astroclean.runner.output.shards import SHARDS
from astroclean.runner.output.store_depot import StoreDepot
from astroclean.runner.output.store_lock import store_lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from astroclean.runner.output.depot import Depot
    from astroclean.runner.plan.shard import Shard

__all__ = ["OutputFolder"]


class OutputFolder(FileRecords):
    """Where a run writes. Everything of astroclean's own lies in ``.astroclean/``.

    Parameters
    ----------
    path : Path or UrlPath
        The folder; made when missing. Outputs for a store are made in a folder of a file system, in
        that for temporary files.
    run : str, optional
        Name of the run, which no other has; by default a new one. Jobs carry it to their workers.
    shard : Shard, optional
        Which shard of a run writes; by default a whole run does.
    local : Path, optional
        Where outputs for a store are made; by default in the temporary folder of this process.

    Raises
    ------
    OutputError
        The URL is that of a web server.
    ConfigurationError
        The URL holds a secret, or is none that can be used.
    """

    def __init__(
        self,
        path: Path,
        *,
        run: str | None = None,
        shard: Shard | None = None,
        local: Path | None = None,
    ) -> None:
        self.path = path_or_url(path)
        self.run = run or uuid.uuid4().hex
        self.shard = shard
        self.is_remote = is_url(self.path)
        """Whether it lies in a store."""
        if self.is_remote:
            _check_store(self.path)
        self.local = self.path if not self.is_remote else local or temporary_folder() / self.run
        """The folder itself, or the one in which outputs for a store are made."""
        self._own = self.local / OWN_FOLDER
        self.shards = self.local / SHARDS
        """Of a file system: what shards leave for `astroclean merge`, and their locks."""
        self._records = self.local / RECORDS
        self._all_scratch = self._own / "scratch"
        # What other shards have begun is theirs.
        self._scratches = self._all_scratch / shard.file_stem if shard else self._all_scratch
        self.scratch = self._scratches / self.run
        """Unfinished files of this run, and of no other: a worker of one that was killed may live
        for a moment longer. It is there only while the run lasts."""
        self.stages = self._own / "stages"
        """Frames saved between stages."""
        self.pages_record = self._own / "pages.json"
        """What pages of files lie beside the report."""
        super().__init__(self._depot())

    @property
    def shared_mark(self) -> Path | None:
        """A file by which workers see that outputs for a store are made in a folder they share."""
        return self.scratch / "shared" if self.is_remote else None

    def _depot(self) -> Depot:
        if self.is_remote:
            return StoreDepot(str(self.path), self.local)
        return FolderDepot(self.path, self.scratch)

    def absolute(self) -> OutputFolder:
        """Return the folder of the same run by its absolute path, for jobs."""
        if self.is_remote:
            return OutputFolder(self.path, run=self.run, shard=self.shard, local=self.local)
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
        begin_run(self.run)  # connections of an earlier one may have had other credentials
        try:
            self._own.mkdir(parents=True, exist_ok=True)
            self.refuse_links()
            self.shards.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"output folder cannot be used: {error.strerror}",
                where=str(self.local),
                remedy="Name another with -o.",
            ) from error
        try:
            with self._held() as notes:
                try:
                    self._prepare()
                    yield notes
                finally:
                    # A worker that was killed has left its unfinished file.
                    shutil.rmtree(self._scratches, ignore_errors=True)
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Remove the local folder of outputs that lie in a store; nothing else is removed."""
        if self.is_remote:
            shutil.rmtree(self.local, ignore_errors=True)

    def _held(self) -> contextlib.AbstractContextManager[list[str]]:
        if self.is_remote:
            return store_lock(str(self.path), self.shard, self.run)
        return folder_lock(self._own, self.shard)

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
            if self.shared_mark is not None:
                self.shared_mark.touch()
        except OSError as error:
            raise OutputError(
                f"output folder cannot be written: {error.strerror}",
                where=str(self.local),
                remedy="Name another with -o, or make room.",
            ) from error

    def read_text(self, name: str, limit: int) -> str | None:
        """Return the beginning of a text file of the folder, or None where there is none."""
        content = self.depot.read(name, limit)
        return None if content is None else content.decode("utf-8", "replace")

    def write_parts(self, name: str, parts: Iterable[str]) -> None:
        """Write a text file of the run itself, of which not all need be in memory.

        Raises
        ------
        FitsWriteError
            It cannot be written.
        """
        self.depot.write(name, parts)


def _check_store(url: Path) -> None:
    """Refuse a URL that no output can be put to."""
    check_url(str(url))
    if is_web(url):
        raise OutputError(
            "a web server takes no outputs",
            where=str(url),
            remedy="Name a folder, or one of an object store such as s3://bucket/folder.",
        )
