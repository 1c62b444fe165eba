"""Calls in worker processes of the standard library. A dead one costs one item, no more."""

from __future__ import annotations

import contextlib
import importlib
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

from astroclean.runner.executors.executor import WorkerDied, called
from astroclean.runner.executors.workers import shut_down, start_pool, submitted, terminate

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Sequence

__all__ = ["ProcessExecutor"]

_NO_PROCESS = (BrokenProcessPool, OSError, RuntimeError, MemoryError)
"""What starting a process raises where memory, disk or the number of processes is at its limit."""


_WORK = "astroclean.runner.work.work"  # what a worker does; importing it takes most of a second


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
        self.workers = jobs
        self._may_fork = fork
        # Few in flight: when a worker dies, few are suspects.
        self._most_in_flight = 2 * jobs if jobs > 1 else 1
        self._pool: ProcessPoolExecutor | None = None

    @property
    def workers_of_host(self) -> int:
        """All of them."""
        return self.workers

    def prepare(self) -> None:
        """Let the first worker start and import, while this process goes on."""
        if self._may_fork:
            importlib.import_module(_WORK)  # once for both
        with contextlib.suppress(*_NO_PROCESS):  # `map` tells
            self._start()
            assert self._pool is not None
            submitted(self._pool, _imported, _WORK)

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> Generator[tuple[int, Any]]:
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
        with self._shared_pool() as pool, _unlocked(running):
            while queue or running:
                while queue and len(running) < self._most_in_flight:
                    index, item = queue.pop()
                    try:
                        running[submitted(pool, called, function, item)] = (index, item)
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
        assert self._pool is not None
        try:
            yield self._pool
        except BaseException:
            terminate(self._pool)
            self._pool = None
            raise

    @contextlib.contextmanager
    def _own_pool(self) -> Iterator[ProcessPoolExecutor]:
        """Give one worker that others do not depend on."""
        pool = start_pool(1, of=self.workers)
        try:
            yield pool
        except BaseException:
            terminate(pool)
            raise
        shut_down(pool)

    def close(self) -> None:
        """End the workers."""
        pool, self._pool = self._pool, None
        if pool is not None:
            shut_down(pool)

    def _start(self) -> None:
        if self._pool is None:
            self._pool = start_pool(self.workers, of=self.workers, fork=self._may_fork)
            self._may_fork = False  # by then this process has threads, and has computed


def _imported(module: str) -> None:
    importlib.import_module(module)


def _alone(pool: ProcessPoolExecutor, function: Callable[[Any], Any], item: Any) -> Any:
    started = time.perf_counter()
    try:
        future = submitted(pool, called, function, item)
    except _NO_PROCESS as error:
        return _not_started(error)
    with _unlocked((future,)):
        wait([future])
    outcome = _outcome(future)
    if isinstance(outcome, WorkerDied):
        outcome.seconds = time.perf_counter() - started
    return outcome


@contextlib.contextmanager
def _unlocked(futures: Collection[Future[Any]]) -> Iterator[None]:
    """Leave no future locked by an interrupt.

    `wait` locks one after the other. An exception between two of them, which is where a signal may
    come, leaves those locked; the thread of the pool would wait for them for ever, and this process
    for that thread.
    """
    try:
        yield
    except BaseException:
        for future in futures:
            condition: Any = vars(future)["_condition"]
            while condition._is_owned():  # noqa: SLF001 - by this thread; nothing public tells it
                condition.release()
        raise


def _not_started(error: BaseException) -> WorkerDied:
    return WorkerDied(f"no process could be started for it: {error or type(error).__name__}")


def _is_broken(future: Future[Any]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


def _outcome(future: Future[Any]) -> Any:
    """Return what became of a call that has ended; nothing is raised, whatever it was."""
    fault = future.exception()
    if isinstance(fault, BrokenProcessPool):
        return WorkerDied(
            "the process that worked on it died; out of memory, or a crash in a library"
        )
    # A result that cannot be pickled is a fault of its item alone.
    return future.result() if fault is None else fault
