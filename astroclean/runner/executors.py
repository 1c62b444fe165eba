"""Where calls happen: here, or in several processes. A dead worker costs one item, no more."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import os
import signal
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, Protocol

from astroclean.errors import AstrocleanError
from astroclean.io.scratch import adopt_folder, temporary_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["Executor", "ProcessExecutor", "SerialExecutor", "WorkerDied", "make_executor"]


_NO_PROCESS = (BrokenProcessPool, OSError, RuntimeError, MemoryError)
"""What starting a process raises where memory, disk or the number of processes is at its limit."""


_LONGEST_FOLDER = 70  # bytes; of a socket 107 on Linux and 103 on others are possible


class WorkerDied(Exception):  # noqa: N818 - an event that the runner records
    """The process that worked on an item ended: killed, out of memory, or a crash in C code."""


class Executor(Protocol):
    """Applies a function to items. Function and items can be pickled; results come as they end."""

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield (index of the item, result or exception)."""

    def close(self) -> None:
        """Let go of what the executor holds."""


class SerialExecutor:
    """Calls in this process, one after the other."""

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
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._workers: ProcessPoolExecutor | None = None

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
                # Few in flight: when a worker dies, few are suspects.
                while queue and len(running) < 2 * self.jobs:
                    index, item = queue.pop()
                    try:
                        running[pool.submit(_called, function, item)] = (index, item)
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
            _terminate(self._workers)
            self._workers = None
            raise

    @contextlib.contextmanager
    def _own_pool(self) -> Iterator[ProcessPoolExecutor]:
        """Give one worker that others do not depend on."""
        pool = self._started(1)
        try:
            yield pool
        except BaseException:
            _terminate(pool)
            raise
        pool.shutdown()

    def close(self) -> None:
        """End the workers."""
        if self._workers is not None:
            self._workers.shutdown()
            self._workers = None

    def _start(self) -> None:
        if self._workers is None:
            self._workers = self._started(self.jobs)

    def _started(self, workers: int) -> ProcessPoolExecutor:
        folder = temporary_folder()
        methods = multiprocessing.get_all_start_methods()
        # Forking a process that has threads (torch, OpenMP) can hang; a clean server cannot. Its
        # socket must have a short path.
        served = "forkserver" in methods and len(os.fsencode(folder)) < _LONGEST_FOLDER
        method = "forkserver" if served else "spawn"
        # Sockets of the server; in a folder of its own, a run that is killed would leave them.
        vars(multiprocessing.current_process())["_config"].setdefault("tempdir", str(folder))
        if served:
            _start_server()
        return ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context(method),
            initializer=_start_worker,
            initargs=(self.jobs, folder),
        )


def _start_server() -> None:
    """Start the server of processes, deaf to Ctrl-C and a closing terminal from the first."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _terminate(pool: ProcessPoolExecutor) -> None:
    """End workers at once instead of waiting for their items."""
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()


def make_executor(jobs: int) -> Executor:
    """Return the executor for a number of processes; one needs no process of its own.

    Raises
    ------
    AstrocleanError
        A worker is importing the script that called for workers.
    """
    if jobs > 1 and getattr(multiprocessing.current_process(), "_inheriting", False):
        raise AstrocleanError(
            "a script that asks for several jobs is imported by each of them",
            remedy='Call astroclean.run under `if __name__ == "__main__":`.',
        )
    return SerialExecutor() if jobs <= 1 else ProcessExecutor(jobs)


def _start_worker(jobs: int, folder: Path) -> None:
    """Leave interrupts to the parent, end with it, and share the cores among the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    adopt_folder(folder)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, threads)


def _end_with_parent() -> None:
    """End this worker when the run was killed; it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _called(function: Callable[[Any], Any], item: Any) -> Any:
    try:
        return function(item)
    except Exception as error:  # noqa: BLE001 - handed to the runner
        return error


def _alone(pool: ProcessPoolExecutor, function: Callable[[Any], Any], item: Any) -> Any:
    try:
        return _outcome(pool.submit(_called, function, item))
    except _NO_PROCESS as error:
        return _not_started(error)


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
