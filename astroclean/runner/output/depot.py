"""Where an output folder is kept: on a file system, here, or in a store (`store_depot`).

What a run leaves is the same in both; names are those of the folder, with ``/`` below it.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Protocol

from astroclean.io.products.origin import is_written_by_astroclean
from astroclean.io.scratch.arrays import open_regular
from astroclean.io.scratch.atomic import atomic_file
from astroclean.runner.output.stamps import is_of_stamp, stamp_if_same

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import BinaryIO

    from astroclean.report.model import FileStamp

    Written = Mapping[str, tuple[str, FileStamp | None]]

__all__ = ["Depot", "FolderDepot"]


class Depot(Protocol):
    """Keeps the files of an output folder. Jobs carry it to their workers."""

    def read(self, name: str, limit: int) -> bytes | None:
        """Return the beginning of a file, or None where there is none."""

    def opened(self, name: str) -> BinaryIO:
        """Open a file for reading.

        Raises
        ------
        OSError
            There is none.
        """

    def write(self, name: str, parts: Iterable[str]) -> None:
        """Write a text file, whole or not at all; on a file system, never all in memory.

        Raises
        ------
        FitsWriteError
            It cannot be written.
        """

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens where there is none."""

    def names(self, folder: str) -> list[str]:
        """Return the names of the files directly in a folder, sorted; none where it is missing."""

    def is_there(self, name: str) -> bool:
        """Return whether anything of this name is there, a dangling link among it."""

    def is_regular(self, name: str) -> bool:
        """Return whether it is a file, and no link, folder or pipe."""

    def is_own(self, name: str) -> bool:
        """Return whether a FITS file says that astroclean wrote it."""

    def stamp(
        self,
        name: str,
        digest: str,
        stamp: FileStamp | None,
        *,
        verify: bool,
        largest: int | None,
    ) -> FileStamp | None:
        """Return the stamp of a file that is as it was written; None where it may not be.

        Parameters
        ----------
        name : str
            The file.
        digest : str
            SHA-256 that it was written with.
        stamp : FileStamp or None
            What was told of it then.
        verify : bool
            Whether it is hashed though it has this stamp.
        largest : int or None
            Bytes up to which it is hashed.
        """

    def deliver(self, written: Written) -> Written:
        """Bring outputs that were made here to their place.

        Parameters
        ----------
        written : mapping of str to (str, FileStamp)
            As they were made.

        Returns
        -------
        mapping of str to (str, FileStamp)
            As they are there.

        Raises
        ------
        FitsWriteError
            One of them cannot be brought there; of the others none is left.
        """

    def gather(self, names: Iterable[str] | None) -> None:
        """Prepare to be asked for files of these names, all records where it is None."""

    def refresh(self) -> None:
        """Forget what was there when `gather` was called."""


class FolderDepot:
    """A folder of a file system. No symbolic link is followed.

    Parameters
    ----------
    path : Path
        The folder.
    scratch : Path
        For unfinished files, on the same disk.
    """

    def __init__(self, path: Path, scratch: Path) -> None:
        self._path = path
        self._scratch = scratch

    def read(self, name: str, limit: int) -> bytes | None:
        """Return the beginning of a regular file, or None where there is none."""
        try:
            with open_regular(self._path / name) as stream:
                # Memory for as much as is asked for would be set aside for each of many records.
                return stream.read(min(os.fstat(stream.fileno()).st_size, limit))
        except OSError:
            return None

    def opened(self, name: str) -> BinaryIO:
        """Open a regular file; see `Depot`."""
        return open_regular(self._path / name)

    def write(self, name: str, parts: Iterable[str]) -> None:
        """Write a text file; see `Depot`."""
        with atomic_file(self._path / name, scratch=self._scratch) as stream:
            for part in parts:
                stream.write(part.encode("utf-8"))

    def remove(self, name: str) -> None:
        """Remove a file."""
        (self._path / name).unlink(missing_ok=True)

    def names(self, folder: str) -> list[str]:
        """Return the names of what is in a folder."""
        place = self._path / folder
        return sorted(path.name for path in place.iterdir()) if place.is_dir() else []

    def is_there(self, name: str) -> bool:
        """Return whether anything of this name is there."""
        try:
            return os.path.lexists(f"{self._path}/{name}")
        except ValueError:  # NUL
            return False

    def is_regular(self, name: str) -> bool:
        """Return whether it is a file."""
        return self._regular(name) is not None

    def _regular(self, name: str) -> os.stat_result | None:
        """Return what the system tells of a regular file; None for all else."""
        try:  # of a hundred thousand names, paths would take longer than the system
            found = os.lstat(f"{self._path}/{name}")
        except (OSError, ValueError):
            return None
        return found if stat.S_ISREG(found.st_mode) else None

    def is_own(self, name: str) -> bool:
        """Return whether a FITS file says that astroclean wrote it."""
        return is_written_by_astroclean(self._path / name)

    def stamp(
        self,
        name: str,
        digest: str,
        stamp: FileStamp | None,
        *,
        verify: bool,
        largest: int | None,
    ) -> FileStamp | None:
        """Return the stamp of a file that is as it was written; see `Depot`."""
        found = self._regular(name)
        if found is None:
            return None
        if verify or stamp is None or not is_of_stamp(stamp, found):
            return stamp_if_same(self._path / name, digest, largest=largest)
        return stamp

    def deliver(self, written: Written) -> Written:
        """Return outputs as they are: they were made in their place."""
        return written

    def gather(self, names: Iterable[str] | None) -> None:
        """Do nothing: the system is asked for each file."""

    def refresh(self) -> None:
        """Do nothing, as `gather`."""
