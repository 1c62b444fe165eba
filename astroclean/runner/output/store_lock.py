"""Who may write to an output folder in a store, which has no locks: markers take their place.

Whoever begins puts a marker of their own and then looks at those of others. Stores tell at once
what was put (S3 and Google do), so of two that begin together one sees the other at least. A marker
is put anew each minute. One that was not for some minutes, by the clock of the store, is of a run
that was killed; so is one of a process of this machine that does not live. This is advisory: it
holds off runs of astroclean, and a run that stood still for so long is no longer held off.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import platform
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astroclean.errors import AstrocleanError, OutputError
from astroclean.io.products.names import OWN_FOLDER
from astroclean.io.remote.store import store_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from astroclean.runner.plan.shard import Shard

__all__ = ["store_lock"]

_MARKERS = f"{OWN_FOLDER}/locks"
_RENEWED = 60.0  # seconds
_SILENT = 300.0  # seconds after which a marker that was not renewed is of a killed run
_WHOLE = "whole"
_LARGEST = 4096  # bytes
_SECOND = 1e9  # ns


@dataclass(frozen=True)
class _Marker:
    """A marker of a run."""

    url: str
    modified_ns: int
    """When it was put, by the clock of the store."""

    @property
    def part(self) -> str:
        """What its run holds: the whole folder, or a shard."""
        return self.url.rpartition("/")[2].partition(".")[0]


@contextlib.contextmanager
def store_lock(url: str, shard: Shard | None, run: str) -> Iterator[list[str]]:
    """Hold an output folder of a store for a run.

    Parameters
    ----------
    url : str
        The folder.
    shard : Shard or None
        None for a whole run, which shares the folder with nobody.
    run : str
        Name of the run; no other has it.

    Yields
    ------
    list of str
        What is to be said of the lock.

    Raises
    ------
    OutputError
        Somebody else holds it, or the store cannot be written to.
    """
    part = _WHOLE if shard is None else shard.file_stem
    own = f"{url}/{_MARKERS}/{part}.{run}.json"
    told = (
        f"{url}: a store has no locks. Markers in {_MARKERS}, renewed each minute, hold off other "
    )
    notes = [told + "runs of astroclean, and nothing else"]
    _put(own, url)
    try:
        notes += _checked(url, own)
        with _renewed(own):
            yield notes
    finally:
        with contextlib.suppress(AstrocleanError):
            store_of(own).remove(own)


def _put(own: str, url: str) -> None:
    told = {
        "process": os.getpid(),
        "host": platform.node(),
        "processes": _processes(),
        "time": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    try:
        store_of(own).write(own, json.dumps(told).encode("utf-8"))
    except AstrocleanError as error:
        raise OutputError(
            f"output folder cannot be used: {error.problem}",
            where=url,
            remedy=error.remedy or "Name another with -o.",
        ) from error


def _checked(url: str, own: str) -> list[str]:
    """Refuse where another run holds the folder; remove what killed runs left, and tell that."""
    store = store_of(url)
    found = [_Marker(one, v.modified_ns) for one, v in store.listed(f"{url}/{_MARKERS}")]
    mine = next((marker for marker in found if marker.url == own), None)
    if mine is None:
        raise OutputError(
            "the store does not list what was just put, so nobody can hold the folder",
            where=url,
            remedy="Name a folder of a file system with -o, and copy it when the run has ended.",
        )
    notes = []
    for marker in found:
        shared = _WHOLE not in (marker.part, mine.part) and marker.part != mine.part
        told = None if marker == mine or shared else _told(marker)
        if told is None:
            continue
        silent = (mine.modified_ns - marker.modified_ns) / _SECOND
        if silent < _SILENT and not _is_dead(told):
            raise _held(marker, told, url, silent)
        store.remove(marker.url)
        notes.append(f"{url}: the marker of {_holder(told)} was left by a run that was killed")
    return notes


def _told(marker: _Marker) -> dict[str, Any] | None:
    """Return what a marker tells; None where it is gone meanwhile."""
    content = store_of(marker.url).read(marker.url, _LARGEST)
    if content is None:
        return None
    try:
        told = json.loads(content)
    except ValueError:
        told = None
    return told if isinstance(told, dict) else {}


def _holder(told: dict[str, Any]) -> str:
    return f"process {told.get('process', '?')} on {told.get('host', 'an unknown machine')}"


def _held(marker: _Marker, told: dict[str, Any], url: str, silent: float) -> OutputError:
    if marker.part == _WHOLE:
        problem = "another run is writing here"
    else:
        problem = f"shard {marker.part.replace('-of-', '/')} of a run is writing here"
    return OutputError(
        problem,
        where=url,
        received=f"{_holder(told)}, which gave a sign {max(silent, 0):.0f} s before",
        remedy="Wait for it, or name another folder with -o. If nothing runs there any more, wait "
        f"{_SILENT / 60:.0f} minutes from its last sign, or remove {marker.url}.",
    )


def _processes() -> str:
    """Return which processes the numbers of this machine mean: of which boot, and container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _is_dead(told: dict[str, Any]) -> bool:
    """Return whether a marker is certainly of a process that does not live any more."""
    number, own = told.get("process"), _processes()
    if not own or told.get("processes") != own or not isinstance(number, int) or number <= 0:
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it lives, and is somebody else's
        return False
    return False


@contextlib.contextmanager
def _renewed(own: str) -> Iterator[None]:
    """Put a marker again and again while the context lasts."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(_RENEWED):
            # A store that is gone for a moment is asked again the next time.
            with contextlib.suppress(AstrocleanError):
                _put(own, own)

    thread = threading.Thread(target=renew, name="astroclean-lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
