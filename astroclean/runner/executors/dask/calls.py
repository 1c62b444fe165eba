"""What is called on a worker of Dask: it is compared, it makes calls, it makes none any more.

The calls of a run are a *session*. A worker makes a call only while the session is open in its
process: after it was compared with the process that runs, and until that takes the session back. So
a process that was started again under the address of a dead one makes none unseen, whatever the
scheduler sends it, and none begins after an interrupt.
"""

from __future__ import annotations

import pickle
import threading
from typing import TYPE_CHECKING, Any

from astroclean.runner.executors.executor import called

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["admit", "end", "make_call"]

_lock = threading.Lock()
_open: dict[str, None] = {}
_MOST_OPEN = 1000
_under_way: set[tuple[str, int]] = set()
_worker: list[str] = []
"""The worker of this process."""


def admit(session: str, here: Mapping[str, str]) -> list[str]:
    """Open a session in this process, if it has what the process that runs has.

    Parameters
    ----------
    session : str
        Name that no other has.
    here : mapping of str to str
        :func:`~astroclean.runner.executors.installation.installation` of the process that runs.

    Returns
    -------
    list of str
        What differs, or why else it makes no calls; empty where the session is open.
    """
    from distributed import get_worker  # noqa: PLC0415 - calls need nothing of Dask

    from astroclean.runner.executors.installation import (  # noqa: PLC0415 - not on the scheduler
        differences,
        installation,
    )

    differing = differences(here, installation())
    with _lock:
        first = (_worker or [get_worker().address])[0]
        _worker[:] = [first]
    if first != get_worker().address:
        differing.append(f"it shares its process with worker {first}")
    if not differing:
        with _lock:
            _open[session] = None
            while len(_open) > _MOST_OPEN:  # of runs that were killed
                del _open[next(iter(_open))]
    return differing


def make_call(session: str, number: int, call: bytes) -> bytes | None:
    """Call a function on an item.

    Parameters
    ----------
    session : str
        To which the call belongs.
    number : int
        By which the session knows it.
    call : bytes
        Pickle of function and item. The scheduler, which reads all arguments, need not know them.

    Returns
    -------
    bytes or None
        Pickle of the result, or of the exception; None where the session is not open here.
    """
    with _lock:
        if session not in _open:
            return None
        _under_way.add((session, number))
    try:
        return _pickled(called(_unpickled_and_called, call))
    finally:
        with _lock:
            _under_way.discard((session, number))


def end(session: str) -> list[int]:
    """Let no call of a session begin in this process any more.

    Parameters
    ----------
    session : str
        Open or not.

    Returns
    -------
    list of int
        Calls of it that are under way.
    """
    with _lock:
        _open.pop(session, None)
        return [number for its, number in _under_way if its == session]


def _unpickled_and_called(call: bytes) -> Any:
    function, item = pickle.loads(call)  # noqa: S301 - of the process that runs
    return function(item)


def _pickled(outcome: Any) -> bytes:
    try:
        return pickle.dumps(outcome, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 - a fault of its item alone, whatever it raises
        told = TypeError(f"the result cannot be pickled: {type(error).__name__}: {error}")
        vars(told)["seconds"] = 0.0
        return pickle.dumps(told)
