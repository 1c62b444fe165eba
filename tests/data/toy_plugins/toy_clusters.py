"""A Dask scheduler with workers, as processes on the loopback interface, for tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toy_runs import processes_of, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ToyCluster", "toy_cluster"]


@dataclass
class ToyCluster:
    """Processes that were started, each in a session of its own."""

    folder: Path
    """Where they work, and the scheduler's file lies."""
    environment: dict[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "scheduler.json"

    @property
    def address(self) -> str:
        return str(json.loads(self.file.read_text())["address"])

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        process = self._started("scheduler", "--port", "0", "--no-dashboard", "--no-show")
        wait_for(self.file.exists)
        return process

    def start_worker(self, *words: Any, **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker of one thread, or as the words say; it joins some time later."""
        return self._started("worker", "--no-dashboard", *words, **environment)

    def _started(self, *words: Any, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *map(str, words)]
        command += ["--host", "127.0.0.1", "--scheduler-file", str(self.file)]
        if "--nthreads" not in words and words[0] == "worker":
            command += ["--nthreads", "1"]
        with (self.folder / f"{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **self.environment, **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def worker_processes(self) -> list[int]:
        """Return the processes in which calls are made, of workers with a nanny."""
        found = []
        for process in self.processes[1:]:
            for number in processes_of(process.pid):
                with contextlib.suppress(OSError):
                    command = Path(f"/proc/{number}/cmdline").read_bytes()
                    if b"spawn_main" in command:
                        found.append(number)
        return found

    def end(self) -> None:
        """End all, with what they have started."""
        for process in self.processes:
            for number in processes_of(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            process.kill()
            process.wait()


@contextlib.contextmanager
def toy_cluster(folder: Path, path: str, *workers: tuple[Any, ...]) -> Iterator[ToyCluster]:
    """Give a scheduler with workers; all end with the context.

    Parameters
    ----------
    folder : Path
        An empty one.
    path : str
        ``PYTHONPATH`` of scheduler and workers.
    *workers : tuple
        Words for each command ``dask worker``.
    """
    cluster = ToyCluster(folder, {"PYTHONPATH": path})
    try:
        cluster.start_scheduler()
        for words in workers:
            cluster.start_worker(*words)
        yield cluster
    finally:
        cluster.end()
