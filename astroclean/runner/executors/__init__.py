"""Where the calls of a run are made: in this process, in several, or elsewhere.

An executor is injected: ``astroclean.run(..., executor=...)`` takes any object that keeps the
contract of :class:`Executor`, which `astroclean.testing.executors` tests.
"""

from astroclean.runner.executors.choice import make_executor
from astroclean.runner.executors.dask.executor import DaskExecutor
from astroclean.runner.executors.executor import Executor, WorkerDied, called, checked_executor
from astroclean.runner.executors.processes import ProcessExecutor
from astroclean.runner.executors.serial import SerialExecutor

__all__ = [
    "DaskExecutor",
    "Executor",
    "ProcessExecutor",
    "SerialExecutor",
    "WorkerDied",
    "called",
    "checked_executor",
    "make_executor",
]
