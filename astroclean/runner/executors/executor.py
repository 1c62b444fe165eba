"""`Executor`: the contract between a run and what makes its calls."""

from __future__ import annotations

import pickle
import time
from typing import TYPE_CHECKING, Any, Protocol

from astroclean.errors import PluginLoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

__all__ = ["Executor", "WorkerDied", "called", "checked_executor"]

_METHODS = "prepare", "map", "close"
_NUMBERS = "workers", "workers_of_host"


class WorkerDied(Exception):  # noqa: N818 - an event that the runner records
    """The worker of an item ended: killed, out of memory, or by a crash in C code."""

    seconds = 0.0
    """How long it had worked, its start included."""


class Executor(Protocol):
    """Makes the calls of a run: one function on many items, wherever it likes.

    The run knows nothing of processes or machines; an executor nothing of files and stages. What
    is written does not depend on it. `astroclean.testing.executors.ExecutorContract` tests all
    that is said here.

    **What is called.** Function, items and results can be pickled, and the function can be
    imported from ``astroclean``; paths in items are absolute. Exceptions that a call raises may be
    such that they cannot be pickled: :func:`called` makes each into one that can.

    **Workers.** A worker is a process that makes one call at a time, in one thread: stages catch
    warnings, which all threads of a process share. It needs the same versions of astroclean,
    plugins, engines and weights as the process that runs, and reads and writes the files under the
    same paths. It may live on for other runs: the runner takes care that nothing is kept from one
    to the next.

    **Death.** What ends a worker costs the item that ended it, and no other; its result is a
    :class:`WorkerDied`. An item whose worker died for another reason (a machine that was lost) may
    be called again: calls leave nothing half done.
    """

    @property
    def workers(self) -> int:
        """Calls that are made at the same time, at least 1; a file's frames are shared by it."""

    @property
    def workers_of_host(self) -> int:
        """The most workers that share the memory of one machine, at least 1, at most `workers`.

        ``max_memory`` is that of a machine, and is divided by it.
        """

    def prepare(self) -> None:
        """Begin what workers need to start, and do not wait for it; it may do nothing."""

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> Generator[tuple[int, Any]]:
        """Call a function on every item.

        The iterator raises nothing because of an item. Items wait here, not at the workers: of one
        run there are millions, and one that may have killed its worker is called again alone. Where
        the iterator is closed before its end (an interrupt), no call begins any more, and none is
        under way when its ``close`` returns: the output folder is given free after it.

        Parameters
        ----------
        function : callable
            Of one item.
        items : sequence
            What it is called on.

        Yields
        ------
        (int, object)
            Index of an item with its result, the exception that its call raised (``Exception`` or
            ``SystemExit``; with how long it took as attribute ``seconds``), or a
            :class:`WorkerDied`. Each index comes once, in whatever order calls end.

        Raises
        ------
        ExecutorError
            No call can be made any more, of whatever item; the run ends with it.
        """

    def close(self) -> None:
        """Let go of what the executor holds. It may be called at any time, and more than once.

        Whoever makes an executor closes it; a run does not close one that it was given. A `map`
        after it begins anew.
        """


def checked_executor(executor: Executor) -> Executor:
    """Return an executor if it has all that :class:`Executor` asks for.

    Parameters
    ----------
    executor : Executor
        As a program gave it; nothing is called.

    Returns
    -------
    Executor
        The same.

    Raises
    ------
    PluginLoadError
        A method is missing, or a number of workers is missing or none; all of them are told.
    """
    missing = [f"`{name}()`" for name in _METHODS if not callable(getattr(executor, name, None))]
    missing += [f"`{name}`" for name in _NUMBERS if not hasattr(executor, name)]
    wrong = [
        f"`{name}` is {number!r}, not a whole number of at least 1"
        for name in _NUMBERS
        if not (isinstance(number := getattr(executor, name, 1), int) and number >= 1)
    ]
    problems = [f"has no {', '.join(missing)}"] * bool(missing) + wrong
    if problems:
        kind = executor if isinstance(executor, type) else type(executor)
        given = "the class" if isinstance(executor, type) else "executor"
        raise PluginLoadError(
            "; ".join(problems),
            where=f"{given} {kind.__module__}.{kind.__qualname__}",
            remedy="`astroclean.runner.executors.Executor` tells what each does; "
            "`astroclean.testing.executors.ExecutorContract` tests an executor.",
        )
    return executor


def called(function: Callable[[Any], Any], item: Any) -> Any:
    """Call a function as an executor does: what it raises is handed back.

    Parameters
    ----------
    function : callable
        Of one item.
    item : object
        What it is called on.

    Returns
    -------
    object
        The result, or the exception, with ``seconds``. One that cannot be pickled comes as a
        `RuntimeError` that tells it.
    """
    started = time.perf_counter()
    try:
        return function(item)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - handed to the runner
        handed = error if _can_travel(error) else _retold(error)
        vars(handed)["seconds"] = time.perf_counter() - started
        return handed


def _retold(error: BaseException) -> RuntimeError:
    handed = RuntimeError(f"{type(error).__name__}: {error}")
    for note in getattr(error, "__notes__", ()):
        handed.add_note(note)
    return handed


def _can_travel(error: BaseException) -> bool:
    """Whether an exception can be pickled, and made again from that: many cannot."""
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)  # noqa: S301 - our own bytes
    except Exception:  # noqa: BLE001 - whatever its methods raise
        return False
