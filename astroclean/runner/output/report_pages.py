"""The pages of single files beside a report: written where they changed, removed where they go."""

from __future__ import annotations

import functools
import json
import uuid
from typing import TYPE_CHECKING

from astroclean.errors import OutputError
from astroclean.io.products.names import is_plain_name
from astroclean.io.scratch.arrays import open_regular
from astroclean.io.scratch.atomic import atomic_text
from astroclean.report.history import is_own_page
from astroclean.report.pages import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from astroclean.report.pages import Page
    from astroclean.runner.output.folder import OutputFolder

__all__ = ["ReportPages"]

_LARGEST_LIST = 1 << 28


class ReportPages:
    """The folder of pages of an output folder, held by the caller.

    Parameters
    ----------
    folder : OutputFolder
        The output folder.
    """

    def __init__(self, folder: OutputFolder) -> None:
        self._path = folder.path / FOLDER
        self._list = folder.pages_record
        self._scratch = folder.scratch

    def write(self, pages: Iterable[Page]) -> int:
        """Write pages that are not there as they are to be; remove those that are left over.

        Parameters
        ----------
        pages : iterable of Page
            All that there are to be.

        Returns
        -------
        int
            How many were written.

        Raises
        ------
        OutputError
            The folder is none, a link, or has a file of such a name that astroclean did not write.
        """
        known, there = self._known(), self._there()
        kept: dict[str, str] = {}
        written = 0
        try:
            for page in pages:
                if known.get(page.name) != page.digest or page.name not in there:
                    self._write(page, is_known=page.name in known or page.name not in there)
                    written += 1
                kept[page.name] = page.digest
        except BaseException:
            self._save({**known, **kept})
            raise
        self._remove(known.keys() - kept.keys())
        self._save(kept)
        return written

    def clear(self) -> None:
        """Remove all pages that were written, and their folder where nothing else is in it."""
        known = self._known()
        if known and not self._path.is_symlink():
            self._remove(known)
            self._list.unlink(missing_ok=True)
            if not any(self._path.iterdir()):
                self._path.rmdir()

    def _there(self) -> set[str]:
        try:
            self._path.mkdir(exist_ok=True)
            if self._path.is_symlink():
                raise OutputError(
                    "the folder of pages is a symbolic link, and astroclean follows none",
                    where=str(self._path),
                    remedy="Remove the link, or name another folder with -o.",
                )
            return {path.name for path in self._path.iterdir()}
        except OSError as error:
            raise OutputError(
                f"the folder of pages cannot be used: {error.strerror}",
                where=str(self._path),
                remedy="Move away what has its name, or name another folder with -o.",
            ) from error

    def _write(self, page: Page, *, is_known: bool) -> None:
        path = self._path / page.name
        if not is_known and not is_own_page(functools.partial(open_regular, path)):
            raise OutputError(
                "exists and was not written by astroclean",
                where=str(path),
                remedy="Move it away, or name another folder with -o.",
            )
        # Not through `atomic_text`, which waits for the disk: of ten thousand pages that takes a
        # minute, and one that a power cut spoils is only a page.
        unfinished = self._scratch / f"{uuid.uuid4().hex}.page"
        try:
            unfinished.write_text(page.text(), encoding="utf-8", errors="replace")
            unfinished.replace(path)
        except OSError as error:
            raise OutputError(
                f"cannot be written: {error.strerror}", where=str(path), remedy="Make room."
            ) from error

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            (self._path / name).unlink(missing_ok=True)

    def _known(self) -> dict[str, str]:
        """Return the pages that were written, with their digests; of what is damaged, none."""
        try:
            with open_regular(self._list) as stream:
                found = json.loads(stream.read(_LARGEST_LIST))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {name: str(told) for name, told in found.items() if is_plain_name(name)}

    def _save(self, known: dict[str, str]) -> None:
        atomic_text(self._list, json.dumps(known), scratch=self._scratch)
