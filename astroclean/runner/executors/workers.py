"""How worker processes are born and ended: by which method, deaf to which signals, with what."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import os
import signal
import sys
import threading
import time
import types
import warnings
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

from astroclean.io.scratch.folders import adopt_folder, temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

__all__ = ["shut_down", "start_pool", "submitted", "terminate"]

_LOGGER = "astroclean"
_LONGEST_FOLDER = 70  # bytes; of a socket 107 on Linux and 103 on others are possible
_PATIENCE = 10.0  # seconds; an end that is asked for takes none
_ASKS_TO_END = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def start_pool(workers: int, *, of: int, fork: bool = False) -> ProcessPoolExecutor:
    """Return a pool, whose processes start with the first calls.

    Parameters
    ----------
    workers : int
        Number of processes.
    of : int
        Number of processes that share the cores.
    fork : bool
        Whether this process may be forked.

    Returns
    -------
    ProcessPoolExecutor
        To be used by :func:`submitted`.

    Raises
    ------
    OSError, RuntimeError, MemoryError
        The server of processes cannot be started.
    """
    folder = temporary_folder()
    # Sockets of the server; in a folder of its own, a run that is killed would leave them.
    vars(multiprocessing.current_process())["_config"].setdefault("tempdir", str(folder))
    method = _method(folder, fork=fork)
    if method == "forkserver":
        with _undisturbed():  # the server is deaf to the end, its workers for a moment
            multiprocessing.forkserver.ensure_running()
    return ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context(method),
        initializer=_start_worker,
        initargs=(of, folder, _logging()),
    )


def submitted(pool: ProcessPoolExecutor, *call: Any) -> Future[Any]:
    """Give a call to a pool, which may start a process for it.

    Parameters
    ----------
    pool : ProcessPoolExecutor
        From :func:`start_pool`.
    *call : object
        Function and arguments.

    Returns
    -------
    Future
        Of the call.
    """
    with _undisturbed(), _without_script(), warnings.catch_warnings():
        # Of threads: those of a library for linear algebra stand by, and mind being forked.
        warnings.simplefilter("ignore", DeprecationWarning)
        return pool.submit(*call)


def shut_down(pool: ProcessPoolExecutor) -> None:
    """End workers when their items are done, and at once if that is interrupted."""
    try:
        pool.shutdown()
    except BaseException:
        # Python 3.11 takes a thread for ended when an interrupt comes while it is joined. It would
        # not wait for that of the pool at its own end, but close the queue in which that thread
        # asks the workers to end, and then wait for them for ever.
        terminate(pool)
        raise


def terminate(pool: ProcessPoolExecutor) -> None:
    """End workers at once instead of waiting for their items; none lives when it returns."""
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    # By their sentinels: the thread of the pool waits for the processes themselves.
    living = {process.sentinel: process for process in processes}
    for signal_name in ("terminate", "kill"):  # the second for what is stopped or does not listen
        for process in living.values():
            getattr(process, signal_name)()
        end = time.monotonic() + _PATIENCE
        while living and time.monotonic() < end:
            for sentinel in multiprocessing.connection.wait([*living], timeout=_PATIENCE):
                living.pop(sentinel)


def _method(folder: Path, *, fork: bool) -> str:
    """Return how processes are started: forked from this one, from a clean server, or anew.

    Forking a process that has threads (torch, OpenMP) can hang; a clean server cannot. Its socket
    must have a short path.
    """
    methods = multiprocessing.get_all_start_methods()
    if fork and sys.platform == "linux" and threading.active_count() == 1:
        return "fork"
    served = "forkserver" in methods and len(os.fsencode(folder)) < _LONGEST_FOLDER
    return "forkserver" if served else "spawn"


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Put off signals to this process while another is born, half of which would be left.

    It is born deaf to them, too.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ASKS_TO_END)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _without_script() -> Iterator[None]:
    """Hide the script of this process: a worker would import it, and do all that it does.

    Workers need the modules of astroclean and of plugins only.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _logging() -> tuple[int, logging.Formatter | None] | None:
    """Return level and form of what astroclean tells, where the program has asked for it."""
    logger = logging.getLogger(_LOGGER)
    return (logger.level, logger.handlers[0].formatter) if logger.handlers else None


def _start_worker(
    jobs: int, folder: Path, told: tuple[int, logging.Formatter | None] | None
) -> None:
    """Leave interrupts to the parent, end with it, and share the cores among the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # the parent ends it by that
    adopt_folder(folder)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logger = logging.getLogger(_LOGGER)
    if told is not None and not logger.handlers:  # a forked process has them
        level, form = told
        handler = logging.StreamHandler()
        handler.setFormatter(form)
        logger.addHandler(handler)
        logger.setLevel(level)
    if jobs == 1:
        return  # all cores, as libraries count them
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, threads)


def _end_with_parent() -> None:
    """End this worker when the run was killed; it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
