"""An output folder in an object store: made here, put there file by file, the record last."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from astroclean.errors import AstrocleanError
from astroclean.io.products.origin import is_written_by_astroclean
from astroclean.io.remote.store import store_of
from astroclean.io.resources import file_digest
from astroclean.io.scratch.folders import temporary_folder
from astroclean.runner.output.file_records import RECORDS
from astroclean.runner.output.stamps import is_same_object, stamp_of_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import BinaryIO

    from astroclean.io.remote.store import RemoteVersion, Store
    from astroclean.report.model import FileStamp

    Written = Mapping[str, tuple[str, FileStamp | None]]

__all__ = ["StoreDepot"]

_LARGEST = 1 << 29  # bytes of a record, and of `run.json`
_FEW = 16
"""Records up to which the store is asked for each; for more, its folder is listed."""


class StoreDepot:
    """A folder of an object store, as `astroclean.runner.output.depot.Depot` describes.

    Records that were asked for once lie in a local folder, which all workers of a run share. The
    store has them too, and nobody else writes them as long as the run holds its lock.

    Parameters
    ----------
    url : str
        The folder.
    local : Path
        Folder of the run on a file system: outputs are made in it.
    """

    def __init__(self, url: str, local: Path) -> None:
        self._url = url
        self._local = local
        self._there: dict[str, RemoteVersion] | None = None
        """What lay in the folder when it was listed; None where it was not."""

    @property
    def _store(self) -> Store:
        return store_of(self._url)

    def url(self, name: str) -> str:
        """Return the URL of a file."""
        return f"{self._url}/{name}"

    def read(self, name: str, limit: int) -> bytes | None:
        """Return the beginning of an object, or None where there is none."""
        copy = self._copy(name)
        if copy is not None:
            with contextlib.suppress(OSError):
                return copy.read_bytes() or None
        return self._store.read(self.url(name), limit)

    def opened(self, name: str) -> BinaryIO:
        """Fetch an object into memory; see `Depot`."""
        content = self.read(name, _LARGEST)
        if content is None:
            raise FileNotFoundError(self.url(name))
        return io.BytesIO(content)

    def write(self, name: str, parts: Iterable[str]) -> None:
        """Put a text as an object."""
        content = "".join(parts).encode("utf-8")
        self._store.write(self.url(name), content)
        self._remember(name, content)

    def remove(self, name: str) -> None:
        """Remove an object."""
        self._store.remove(self.url(name))
        self._remember(name, b"")

    def names(self, folder: str) -> list[str]:
        """Return the names of the objects directly below a folder."""
        found = self._store.listed_if_there(self.url(folder))
        return [url.rpartition("/")[2] for url, _ in found]

    def is_there(self, name: str) -> bool:
        """Return whether there is an object of this name."""
        return "\0" not in name and self._version(name) is not None

    is_regular = is_there

    def is_own(self, name: str) -> bool:
        """Return whether an object says that astroclean wrote it; it is fetched for that."""
        with self._fetched(name) as (file, _):
            return is_written_by_astroclean(file)

    def stamp(
        self,
        name: str,
        digest: str,
        stamp: FileStamp | None,
        *,
        verify: bool,
        largest: int | None,
    ) -> FileStamp | None:
        """Return the stamp of an object that is as it was put; it is fetched where in doubt."""
        there = self._version(name)
        if there is None:
            return None
        if not verify and is_same_object(stamp, there):
            return stamp
        if largest is not None and not 0 <= there.size <= largest:
            return None
        with self._fetched(name) as (file, version):
            same = file_digest(file) == digest
        return stamp_of_object(version) if same else None

    def deliver(self, written: Written) -> Written:
        """Put outputs into the store; on failure those that were put are taken away again."""
        there: dict[str, tuple[str, FileStamp | None]] = {}
        try:
            for name, (digest, _) in written.items():
                version = self._store.put(self._local / name, self.url(name))
                there[name] = (digest, stamp_of_object(version))
        except BaseException:
            with contextlib.suppress(AstrocleanError):
                for name in there:
                    self._store.remove(self.url(name))
            raise
        finally:
            for name in written:
                (self._local / name).unlink(missing_ok=True)
        return there

    def gather(self, names: Iterable[str] | None) -> None:
        """Fetch records, several at a time; with many of them, learn what is in the folder."""
        wanted = None if names is None else sorted(set(names))
        (self._local / RECORDS).mkdir(parents=True, exist_ok=True)
        if wanted is not None and len(wanted) <= _FEW:
            for name in wanted:
                self._remember(name, self._store.read(self.url(name), _LARGEST) or b"")
            return
        self._list()
        there = {f"{RECORDS}/{name}" for name in self.names(RECORDS)}
        there = {name for name in there if self._copy(name) is not None}
        fetched = there if wanted is None else there.intersection(wanted)
        for url, content in self._store.read_all([self.url(name) for name in sorted(fetched)]):
            self._remember(f"{RECORDS}/{url.rpartition('/')[2]}", content)
        for name in () if wanted is None else set(wanted) - there:
            self._remember(name, b"")

    def refresh(self) -> None:
        """Ask the store again what is there."""
        if self._there is not None:
            self._list()

    def _list(self) -> None:
        """Learn what is in the folder."""
        objects = self._store.listed_if_there(self._url)
        self._there = {url.rpartition("/")[2]: version for url, version in objects}

    def _version(self, name: str) -> RemoteVersion | None:
        if self._there is not None and "/" not in name:
            return self._there.get(name)
        return self._store.found(self.url(name))

    @contextlib.contextmanager
    def _fetched(self, name: str) -> Iterator[tuple[Path, RemoteVersion]]:
        with tempfile.TemporaryDirectory(dir=temporary_folder()) as folder:
            file = Path(folder) / Path(name).name
            yield file, self._store.fetch(self.url(name), file)

    def _copy(self, name: str) -> Path | None:
        """Return where a record is remembered; None for what is not."""
        is_record = name.startswith(f"{RECORDS}/") and name.count(".") == RECORDS.count(".") + 1
        return self._local / name if is_record else None

    def _remember(self, name: str, content: bytes) -> None:
        """Remember a record; one that is not there is an empty file."""
        copy = self._copy(name)
        if copy is not None and copy.parent.is_dir():
            copy.write_bytes(content)
