"""Whose is a name in the output folder? No input, file of a user or result of another is lost."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from astroclean.core.regular import RealPaths
from astroclean.errors import OutputError
from astroclean.io.fits.address import parse_address
from astroclean.report.history import is_own_page
from astroclean.report.html import MAX_PICTURES
from astroclean.report.record_file import is_own_record, read_earlier
from astroclean.runner.collection import uncollected
from astroclean.runner.output.outputs import possible_outputs
from astroclean.runner.plan.inputs import remedy_for_twins

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from astroclean.report.model import FileRecord, RunReport
    from astroclean.report.record_file import Earlier, EarlierFile
    from astroclean.runner.output.folder import OutputFolder
    from astroclean.runner.plan.listing import Listed

__all__ = ["Claims", "check_run_files", "check_simulated", "earlier_runs", "with_pictures"]

_SIMULATOR = "astroclean.simulate"  # INSTRUME of simulated inputs
_LONGEST = 255  # bytes of a name, on the file systems in common use


def earlier_runs(folder: OutputFolder) -> Earlier | None:
    """Return what earlier runs left in ``run.json``, or None."""
    with uncollected():
        return read_earlier(functools.partial(folder.depot.opened, "run.json"))


def with_pictures(report: RunReport, folder: OutputFolder) -> RunReport:
    """Return the report of a folder with the pictures of earlier runs, which ``run.json`` lacks.

    Parameters
    ----------
    report : RunReport
        Of the folder. Not modified.
    folder : OutputFolder
        The folder, whose records have them.

    Returns
    -------
    RunReport
        With pictures of the frames in which most pixels changed; no page shows more.
    """
    bare = [
        (-max(frame.pixels_changed for frame in file.frames), index)
        for index, file in enumerate(report.files)
        if file.base and file.frames and not any(frame.previews for frame in file.frames)
    ]
    files, drawn = list(report.files), 0
    for _, index in sorted(bare):
        kept = folder.with_pictures(files[index])
        if kept is not None:
            files[index] = files[index].model_copy(update={"frames": kept.frames})
            drawn += 1
        if drawn == MAX_PICTURES:
            break
    return report.model_copy(update={"files": files})


def check_run_files(folder: OutputFolder, *, report: bool) -> None:
    """Refuse to overwrite a ``run.json`` or ``report.html`` that is not astroclean's.

    Parameters
    ----------
    folder : OutputFolder
        Where they would be written.
    report : bool
        Whether ``report.html`` would.

    Raises
    ------
    OutputError
        One is there that astroclean did not write.
    """
    is_own = {"run.json": is_own_record, **({"report.html": is_own_page} if report else {})}
    for name, is_it in is_own.items():
        if folder.is_there(name) and not is_it(functools.partial(folder.depot.opened, name)):
            raise OutputError(
                f"{name} exists and was not written by astroclean",
                where=str(folder.path / name),
                remedy="Move it away, name another folder with -o, or run with --overwrite.",
            )


def check_simulated(folder: OutputFolder, name: str) -> None:
    """Refuse to overwrite a file by a simulated input unless it is one.

    Raises
    ------
    OutputError
        Another file has its name.
    """
    if not folder.is_there(name):
        return
    if _SIMULATOR not in (folder.read_text(name, 2 * 2880) or ""):
        raise OutputError(
            f"{name} exists and is no simulated input of astroclean",
            where=str(folder.path / name),
            remedy="Move it away, name another folder with -o, or run with --overwrite.",
        )


@dataclass
class Claims:
    """Sets the inputs apart whose outputs would take the place of something else.

    Parameters
    ----------
    folder : OutputFolder
        Where outputs are written.
    earlier : Earlier, optional
        What earlier runs left there.
    overwrite : bool
        Whether results of other inputs and files of the user may be replaced. Inputs never are.
    basis : str
        As of the run; empty where nothing can be up to date unread.
    """

    folder: OutputFolder
    earlier: Earlier | None = None
    overwrite: bool = False
    basis: str = ""
    """What the keys of this run depend on beside the inputs."""
    records: dict[str, FileRecord] = field(default_factory=dict)
    """By base, what was found on record of own files that may be up to date: no other is kept."""
    notes: list[str] = field(default_factory=list)
    """What is replaced since ``overwrite`` says so."""

    def problems(
        self, files: Sequence[Listed], own: Sequence[Listed], failed: Iterable[str]
    ) -> dict[str, str]:
        """Return the inputs that cannot be processed, with the reason.

        Parameters
        ----------
        files : sequence of Listed
            All inputs of the run, those of other shards among them.
        own : sequence of Listed
            Those that are to be processed here.
        failed : iterable of str
            Further inputs, of which nothing is written.

        Returns
        -------
        dict of str to str
            Input to what is wrong.
        """
        real = RealPaths()
        taken = {real.of(file.path) for file in files}
        taken |= {real.of(parse_address(text).path) for text in failed}
        outputs = {file.input: possible_outputs(file) for file in files}
        written: dict[str, list[str]] = {}
        for text, names in outputs.items():
            for name in names:
                written.setdefault(name, []).append(text)
        before = self._written_before()
        target = os.path.realpath(self.folder.path)
        found = {}
        for file in own:
            names = outputs[file.input]
            there = [name for name in names if self.folder.is_there(name)]
            record = self.folder.record(file.base)
            problem = (
                _unusable(names)
                or _of_an_input(names, self.folder.path, target, taken)
                or _of_a_twin(file, names, written)
                or self._of_another(file, there, record, before)
                or self._of_a_user(there, record)
            )
            if problem:
                found[file.input] = f"{file.input}: {problem}"
            elif record is not None and self.basis and may_hold(record, file, self.basis):
                self.records[file.base] = record
        return found

    def _written_before(self) -> dict[str, EarlierFile]:
        files = self.earlier.files.values() if self.earlier else ()
        return {name: record for record in files for name in record.outputs}

    def _of_another(
        self,
        file: Listed,
        there: Sequence[str],
        own: FileRecord | None,
        before: Mapping[str, EarlierFile],
    ) -> str | None:
        """Tell where a name holds the result of another input."""
        for name in there:
            mine = own is not None and name in own.outputs
            record: FileRecord | EarlierFile | None = own if mine else before.get(name)
            if record is None or is_of(record, file):
                continue
            if self.overwrite:
                self.notes.append(f"{file.input}: {name} replaces that of {record.input}")
                return None
            return (
                f"{name} in the output folder is the result of {record.input}. "
                f"{remedy_for_twins(file.input, record.source or record.input)} "
                "With --overwrite the other is replaced."
            )
        return None

    def _of_a_user(self, there: Sequence[str], own: FileRecord | None) -> str | None:
        for name in there:
            if not self.overwrite and self.folder.is_foreign(name, own):
                return (
                    f"{self.folder.path / name} exists and was not written by astroclean. "
                    "Move it away, or run with --overwrite."
                )
        return None


def _of_an_input(names: Sequence[str], folder: Path, target: str, taken: set[str]) -> str | None:
    """Tell where a name is that of an input; ``target`` is the folder without links."""
    for name in names:
        doomed = f"{target}/{name}"  # as text: of many files, most of the time would go here
        is_link = os.path.islink(doomed)  # noqa: PTH114
        if doomed in taken or (is_link and os.path.realpath(doomed) in taken):
            there = folder / name
            return f"its output would overwrite the input {there}. Name another folder with -o."
    return None


def may_hold(record: FileRecord, file: Listed, basis: str) -> bool:
    """Return whether a result is up to date if input and outputs are what they were.

    Parameters
    ----------
    record : FileRecord
        What is on record.
    file : Listed
        The input.
    basis : str
        What its key depends on beside it.
    """
    seen = record.seen
    same = seen is not None and seen.basis == basis
    return same and bool(record.key) and record.source == file.source


def is_of(record: FileRecord | EarlierFile, file: Listed) -> bool:
    """Return whether a record tells of an input: the same place, or the same content."""
    if not record.input:
        return True
    # The same text is another file from another working directory.
    if record.source == file.source if record.source else record.input == file.input:
        return True
    # Reads the file: only where something else of its name is there.
    is_copy = bool(record.content) and _hdu(record.source) == _hdu(file.source)
    return is_copy and record.content == file.content


def _hdu(source: str) -> str:
    address = parse_address(source)
    return str(address).removeprefix(str(address.path))


def _unusable(names: Sequence[str]) -> str | None:
    for name in names:
        try:
            size = len(name.encode("utf-8"))
        except UnicodeEncodeError:
            return "the name of its output is not UTF-8 text. Rename the input or its folder."
        if size > _LONGEST:
            return (
                f"the name of its output has {size} bytes, and {_LONGEST} are possible. "
                "Rename the input, or set `products.name`."
            )
    return None


def _of_a_twin(file: Listed, names: Sequence[str], written: dict[str, list[str]]) -> str | None:
    for name in names:
        others = [text for text in written[name] if text != file.input]
        if others:
            return (
                f"its outputs would have the same names as those of {', '.join(others)}. "
                f"{remedy_for_twins(file.input, others[0])}"
            )
    return None
