"""`run.json` of a folder, written and read piece by piece: it may tell of a hundred thousand files.

What is written is what :meth:`RunReport.to_json` gives. A record of a file begins and ends with
lines of its own, so that the next run need not hold them all at once. A file in another layout, as
an editor may have left it, is read as a whole.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from astroclean.report.model import FileRecord, FileStatus, RunReport, RunSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from typing import BinaryIO

    Opened = Callable[[], BinaryIO]

__all__ = ["Earlier", "EarlierFile", "is_own_record", "read_earlier"]

_BEGIN = b'\n  "files": [\n'
_BETWEEN = b"\n    },\n"
_LAST = b"\n    }\n  ]"
_BLOCK = 1 << 22  # bytes
_START = re.compile(rb'\s*\{\s*"schema_version":\s*\d+,\s*"exit_code":')
_WANTED = {"schema_version", "exit_code", "files", "versions"}
_LARGEST_OTHER = 1 << 29  # bytes of a file in another layout


@checked(slots=True, kw_only=True, config=ConfigDict(extra="ignore"))
class EarlierFile:
    """What must be known of an earlier input while a run lasts."""

    input: str
    status: FileStatus
    source: str = ""
    content: str = ""
    run: int = 0
    key: str = ""
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """By which an input is known from run to run."""
        return self.source or self.input


_EARLIER = TypeAdapter(EarlierFile)


@dataclass
class Earlier:
    """What earlier runs left in a folder."""

    opened: Opened
    """Opens ``run.json``."""
    runs: list[RunSummary] = field(default_factory=list)
    files: dict[str, EarlierFile] = field(default_factory=dict)
    """By identity."""

    def records(self, wanted: Collection[str]) -> Iterator[FileRecord]:
        """Yield the whole records of some inputs, which are read again.

        Parameters
        ----------
        wanted : collection of str
            Their identities.
        """
        if not wanted:
            return
        for piece in _pieces(self.opened)[1]:
            if _EARLIER.validate_json(piece).identity in wanted:
                yield FileRecord.model_validate_json(piece)


def is_own_record(opened: Opened) -> bool:
    """Return whether a file is a ``run.json`` of astroclean, of any version, by its beginning."""
    try:
        with opened() as stream:
            if _START.match(stream.read(4096)):
                return True
            stream.seek(0)
            content: Any = json.loads(stream.read(_LARGEST_OTHER))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.keys() >= _WANTED


def read_earlier(opened: Opened) -> Earlier | None:
    """Return what a ``run.json`` tells.

    Parameters
    ----------
    opened : callable
        Opens the file; raises OSError where there is none.

    Returns
    -------
    Earlier or None
        None where there is none, or it is of another form.
    """
    try:
        head, pieces = _pieces(opened)
        files = (_EARLIER.validate_json(piece) for piece in pieces)
        known = {file.identity: file for file in files}
        report = RunReport.model_validate_json(b"".join(head))
    except (OSError, ValidationError, UnicodeDecodeError):
        return None
    return Earlier(opened, report.runs, known)


def _pieces(opened: Opened) -> tuple[list[bytes], Iterator[bytes]]:
    """Return the text of a record without its files, and that of each file.

    The second is to be used up first: it adds what follows the files to the first.
    """
    head: list[bytes] = []
    return head, _walked(opened, head)


def _walked(opened: Opened, head: list[bytes]) -> Iterator[bytes]:
    with opened() as stream:
        blocks = _Blocks(stream)
        begin = blocks.until(_BEGIN)
        if begin is None:
            stream.seek(0)
            yield from _of_another_layout(stream.read(_LARGEST_OTHER), head)
            return
        head += [begin, b'"files": [']
        while (piece := blocks.until(_BETWEEN)) is not None:
            if _LAST in piece:  # what lies between two runs looks the same
                break
            yield piece + b"}"
        left = blocks.rest() if piece is None else piece + _BETWEEN + blocks.rest()
        last, end, after = left.partition(_LAST)
        yield last + b"}"
        head += [b"]" if end else b"", after]


def _of_another_layout(text: bytes, head: list[bytes]) -> Iterator[bytes]:
    report = RunReport.model_validate_json(text)
    head.append(report.model_copy(update={"files": []}).model_dump_json().encode())
    yield from (record.model_dump_json().encode() for record in report.files)


class _Blocks:
    """A stream that is read up to marks."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0

    def until(self, mark: bytes) -> bytes | None:
        """Return what comes before a mark, which is passed; None where it does not come."""
        searched = self._at
        while (found := self._buffer.find(mark, searched)) < 0:
            block = self._stream.read(_BLOCK)
            if not block:
                return None
            kept = self._buffer[self._at :]
            searched = max(0, len(kept) - len(mark))
            self._buffer, self._at = kept + block, 0
        piece = self._buffer[self._at : found]
        self._at = found + len(mark)
        return piece

    def rest(self) -> bytes:
        """Return what has not been returned."""
        return self._buffer[self._at :] + self._stream.read()
