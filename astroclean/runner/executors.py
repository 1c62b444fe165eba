"""Where calls happen: here, or in several processes. A dead worker costs one item, no more."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, Protocol

from astroclean.runner.workers import start_pool, submitted, terminate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Executor", "ProcessExecutor", "SerialExecutor", "WorkerDied", "make_executor"]


_NO_PROCESS = (BrokenProcessPool, OSError, RuntimeError, MemoryError)
"""What starting a process raises where memory, disk or the number of processes is at its limit."""


_WORK = "astroclean.runner.work"  # what a worker does; importing it takes most of a second


class WorkerDied(Exception):  # noqa: N818 - an event that the runner records
    """The process that worked on an item ended: killed, out of memory, or a crash in C code."""

    seconds = 0.0
    """How long it had worked, its start included."""


class Executor(Protocol):
    """Applies a function to items. Function and items can be pickled; results come as they end."""

    def prepare(self) -> None:
        """Begin to import what files need where calls will happen, and do not wait for it."""

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield (index of the item, result or exception)."""

    def close(self) -> None:
        """Let go of what the executor holds."""


class SerialExecutor:
    """Calls in this process, one after the other; what kills one call kills them all."""

    def prepare(self) -> None:
        """Do nothing: this process has imported what the caller needs."""

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield (index of the item, result or exception)."""
        for index, item in enumerate(items):
            yield index, _called(function, item)

    def close(self) -> None:
        """Hold nothing, hence do nothing."""


class ProcessExecutor:
    """Calls in worker processes.

    Parameters
    ----------
    jobs : int
        Number of processes.
    fork : bool
        Whether this process may be forked for the first of them.
    """

    def __init__(self, jobs: int, *, fork: bool = False) -> None:
        self.jobs = jobs
        self._may_fork = fork
        # Few in flight: when a worker dies, few are suspects.
        self._most_in_flight = 2 * jobs if jobs > 1 else 1
        self._workers: ProcessPoolExecutor | None = None

    def prepare(self) -> None:
        """Let the first worker start and import, while this process goes on."""
        if self._may_fork:
            importlib.import_module(_WORK)  # once for both
        with contextlib.suppress(*_NO_PROCESS):  # `map` tells
            self._start()
            assert self._workers is not None
            submitted(self._workers, _imported, _WORK)

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield (index of the item, result or exception)."""
        waiting = list(enumerate(items))
        while waiting:
            try:
                self._start()
            except _NO_PROCESS as error:
                yield from ((index, _not_started(error)) for index, _ in waiting)
                return
            done, suspects = yield from self._pass(function, waiting)
            if suspects:  # what is left of the workers is of no use
                self.close()
            finished = done | {index for index, _ in suspects}
            waiting = [(index, item) for index, item in waiting if index not in finished]
            yield from self._one_by_one(function, suspects)

    def _pass(self, function: Callable[[Any], Any], items: list[tuple[int, Any]]) -> Any:
        """Run items until all are done or a worker died; return (done, suspects)."""
        done: set[int] = set()
        queue = list(reversed(items))
        running: dict[Future[Any], tuple[int, Any]] = {}
        with self._shared_pool() as pool:
            while queue or running:
                while queue and len(running) < self._most_in_flight:
                    index, item = queue.pop()
                    try:
                        running[submitted(pool, _called, function, item)] = (index, item)
                    except _NO_PROCESS:
                        return done, [*running.values(), (index, item)]
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                # Those that ended well come first: they are no suspects.
                for future in sorted(ended, key=lambda f: (_is_broken(f), running[f][0])):
                    if _is_broken(future):
                        return done, list(running.values())
                    index, _ = running.pop(future)
                    done.add(index)
                    yield index, _outcome(future)
        return done, []

    def _one_by_one(
        self, function: Callable[[Any], Any], suspects: list[tuple[int, Any]]
    ) -> Iterator[tuple[int, Any]]:
        """Run items alone: whose worker died is unknown while several are under way."""
        queue = list(reversed(suspects))
        while queue:
            outcome: Any = None
            with self._own_pool() as pool:
                while queue and not isinstance(outcome, WorkerDied):
                    index, item = queue.pop()
                    outcome = _alone(pool, function, item)
                    yield index, outcome

    @contextlib.contextmanager
    def _shared_pool(self) -> Iterator[ProcessPoolExecutor]:
        """Give the workers of this executor; they live on from one `map` to the next."""
        self._start()
        assert self._workers is not None
        try:
            yield self._workers
        except BaseException:
            terminate(self._workers)
            self._workers = None
            raise

    @contextlib.contextmanager
    def _own_pool(self) -> Iterator[ProcessPoolExecutor]:
        """Give one worker that others do not depend on."""
        pool = start_pool(1, of=self.jobs)
        try:
            yield pool
        except BaseException:
            terminate(pool)
            raise
        pool.shutdown()

    def close(self) -> None:
        """End the workers."""
        if self._workers is not None:
            self._workers.shutdown()
            self._workers = None

    def _start(self) -> None:
        if self._workers is None:
            self._workers = start_pool(self.jobs, of=self.jobs, fork=self._may_fork)
            self._may_fork = False  # by then this process has threads, and has computed


def make_executor(jobs: int, *, fork: bool = False) -> Executor:
    """Return the executor for a number of worker processes.

    Parameters
    ----------
    jobs : int
        With 0, calls are made in this process, and a crash in C code ends it. So they are in a
        process that must not have any of its own, as a worker of `multiprocessing.Pool`.
    fork : bool
        Whether this process is known to have computed nothing, so that it may be forked. A single
        worker is then there at once; several share the cores, which they must know before they
        import anything.

    Returns
    -------
    Executor
        To be closed.
    """
    if jobs < 1 or multiprocessing.current_process().daemon:
        return SerialExecutor()
    return ProcessExecutor(jobs, fork=fork and jobs == 1)


def _imported(module: str) -> None:
    importlib.import_module(module)


def _called(function: Callable[[Any], Any], item: Any) -> Any:
    started = time.perf_counter()
    try:
        return function(item)
    except Exception as error:  # noqa: BLE001 - handed to the runner
        vars(error)["seconds"] = time.perf_counter() - started
        return error


def _alone(pool: ProcessPoolExecutor, function: Callable[[Any], Any], item: Any) -> Any:
    started = time.perf_counter()
    try:
        outcome = _outcome(submitted(pool, _called, function, item))
    except _NO_PROCESS as error:
        return _not_started(error)
    if isinstance(outcome, WorkerDied):
        outcome.seconds = time.perf_counter() - started
    return outcome


def _not_started(error: BaseException) -> WorkerDied:
    return WorkerDied(f"no process could be started for it: {error or type(error).__name__}")


def _is_broken(future: Future[Any]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


def _outcome(future: Future[Any]) -> Any:
    try:
        return future.result()
    except BrokenProcessPool:
        return WorkerDied(
            "the process that worked on it died; out of memory, or a crash in a library"
        )
