"""Which executor `--jobs` or a scheduler asks for."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING

from astroclean.errors import ConfigurationError
from astroclean.runner.executors.dask.executor import DaskExecutor
from astroclean.runner.executors.processes import ProcessExecutor
from astroclean.runner.executors.serial import SerialExecutor

if TYPE_CHECKING:
    from astroclean.runner.executors.executor import Executor

__all__ = ["make_executor"]


def make_executor(jobs: int, *, fork: bool = False, scheduler: str | None = None) -> Executor:
    """Return the executor for a number of worker processes, or for the workers of a scheduler.

    Parameters
    ----------
    jobs : int
        With 0, calls are made in this process, and a crash in C code ends it. So they are in a
        process that must not have any of its own, as a worker of `multiprocessing.Pool`.
    fork : bool
        Whether this process is known to have computed nothing, so that it may be forked. A single
        worker is then there at once; several share the cores, which they must know before they
        import anything.
    scheduler : str, optional
        Address of a Dask scheduler, or the path of its file. Nothing is connected yet.

    Returns
    -------
    Executor
        To be closed.

    Raises
    ------
    ConfigurationError
        Processes of this machine are asked for beside a scheduler.
    """
    if scheduler is not None:
        if jobs != 1:
            raise ConfigurationError(
                f"-j {jobs} asks for processes of this machine, run.scheduler = '{scheduler}' for "
                "the workers of a cluster: give one of them (--scheduler local leaves the cluster)"
            )
        return DaskExecutor(scheduler)
    if jobs < 1 or multiprocessing.current_process().daemon:
        return SerialExecutor()
    return ProcessExecutor(jobs, fork=fork and jobs == 1)
