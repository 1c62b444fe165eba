"""`at_hand`: an input as a file of this machine, with what tells whether it is still the same."""

from __future__ import annotations

import contextlib
import os
import tempfile
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from astroclean.core.regular import open_regular
from astroclean.core.run_cache import file_version
from astroclean.io.fits.address import parse_address
from astroclean.io.frames.read import open_exposure
from astroclean.io.packed.packers import is_packed_name
from astroclean.io.remote.staging import forget_staged, staged
from astroclean.io.remote.urls import is_url
from astroclean.io.resources import file_digest
from astroclean.io.scratch.folders import temporary_folder
from astroclean.runner.output.stamps import is_unchanged, stamp_of, stamp_of_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from astroclean.io.frames.read import Exposure, ReadSettings
    from astroclean.report.model import FileRecord, FileStamp

__all__ = ["AtHand", "at_hand", "exposure_at_hand", "forget_input", "held", "reading_once"]


_HELD = 256 << 20
"""Bytes of files that are held in memory at a time."""
_SHARE = 16
"""Part of the memory limit that they may take, beside the pixels."""


@dataclass
class _Held:
    """Files that have been read, for as long as a unit is worked through."""

    limit: int
    contents: dict[Path, bytes] = field(default_factory=dict)


_held: ContextVar[_Held | None] = ContextVar("_held", default=None)


@contextlib.contextmanager
def reading_once(memory: int | None) -> Iterator[None]:
    """Let files be read once, whole, while the context lasts: hash, pixels and copy are of these.

    Files that are too large for it are read part by part, as often as they are asked for.

    Parameters
    ----------
    memory : int or None
        Bytes that this worker may take.
    """
    if _held.get() is not None:
        yield
        return
    limit = _HELD if memory is None else min(_HELD, memory // _SHARE)
    token = _held.set(_Held(limit))
    try:
        yield
    finally:
        _held.reset(token)


def held(path: Path) -> bytes | None:
    """Return the bytes of a file that is read once; None where it is not, or cannot be.

    Parameters
    ----------
    path : Path
        The file.
    """
    holding = _held.get()
    if holding is None:
        return None
    if path not in holding.contents:
        try:
            with open_regular(path) as stream:
                room = holding.limit - sum(map(len, holding.contents.values()))
                if not 0 < os.fstat(stream.fileno()).st_size <= room:
                    return None
                holding.contents[path] = stream.read()
        except (OSError, MemoryError):
            return None  # whoever opens it tells why
    return holding.contents[path]


@dataclass(frozen=True)
class AtHand:
    """An input on this machine."""

    path: Path
    """As it is known to the user: a path or a URL."""
    local: Path
    """Where its bytes are."""
    stamp: FileStamp | None
    """What was told of it before it was read."""
    version: tuple[int, int] | None = None
    """Size and time of change of a file."""
    digest: str = ""
    """SHA-256 of what was fetched; empty for a file, which is not read for it."""
    content: bytes | None = None
    """The bytes of a file that is read once; None where it is read part by part."""

    def is_still(self, version: tuple[int, int] | None, content: str) -> bool:
        """Return whether it is what was planned.

        Parameters
        ----------
        version : (int, int) or None
            Size and time of change when it was hashed.
        content : str
            SHA-256 of then.
        """
        if self.digest:
            return self.digest == content
        return version in (None, _version(self.local)) or file_digest(self.local) == content

    def holds(self, record: FileRecord | None, source: str) -> bool:
        """Return whether a file need not be hashed, since it is what is on record of an input."""
        if self.digest or record is None or record.seen is None or record.source != source:
            return False
        return bool(record.content) and is_unchanged(record.seen.input, self.path)


@contextlib.contextmanager
def at_hand(path: Path, staging: Path | None, *, whole: bool = False) -> Iterator[AtHand]:
    """Have an input on this machine.

    Parameters
    ----------
    path : Path
        The input, without its HDU: a file, or a URL, which is fetched.
    staging : Path or None
        Where what was fetched stays for further calls; with None it goes with the context.
    whole : bool
        Whether all of a file will be read; see :func:`reading_once`.

    Yields
    ------
    AtHand
        The input.

    Raises
    ------
    FitsReadError, ConfigurationError
        It cannot be fetched.
    """
    if not is_url(path):
        stamp, version = stamp_of(path), _version(path)  # before it is read
        whole = whole or is_packed_name(path)  # all of a packed file is read for its headers
        yield AtHand(path, path, stamp, version, content=held(path) if whole else None)
        return
    with contextlib.ExitStack() as stack:
        if staging is None:
            temporary = tempfile.TemporaryDirectory(dir=temporary_folder())
            staging = Path(stack.enter_context(temporary))
        copy = staged(path, staging)
        yield AtHand(path, copy.path, stamp_of_object(copy.version), digest=copy.digest)


@contextlib.contextmanager
def exposure_at_hand(
    source: str, settings: ReadSettings, staging: Path | None, *, whole: bool = False
) -> Iterator[tuple[AtHand, Exposure]]:
    """Open an input, wherever it is.

    Parameters
    ----------
    source : str
        Absolute path or URL, with the HDU.
    settings : ReadSettings
        How it is read.
    staging, whole
        As for :func:`at_hand`.

    Yields
    ------
    (AtHand, Exposure)
        Closed on leaving the context.
    """
    with (
        at_hand(parse_address(source).path, staging, whole=whole) as hand,
        open_exposure(source, settings, local=hand.content or hand.local) as exposure,
    ):
        yield hand, exposure


def _version(path: Path) -> tuple[int, int] | None:
    """Return size and time of a file; None where there is none, which opening it tells."""
    try:
        return file_version(path)[:2]
    except OSError:
        return None


def forget_input(source: str, staging: Path) -> None:
    """Remove what was fetched of an input that is done; a file is left alone."""
    if is_url(source):
        forget_staged(parse_address(source).path, staging)
