"""`DaskExecutor`: the calls of a run on the workers of a Dask scheduler."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from astroclean.errors import ExecutorError
from astroclean.runner.executors.dask.cluster import Cluster, connected
from astroclean.runner.executors.dask.crew import Crew, no_worker, refusals
from astroclean.runner.executors.dask.round import Round

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from astroclean.runner.executors.dask.cluster import SeenWorker

__all__ = ["DaskExecutor"]

_GLANCE = 0.2  # seconds


class DaskExecutor:
    """Calls on workers that a Dask scheduler has; it starts neither scheduler nor workers.

    Workers may come and go while calls are made. Each is compared with this process before its
    first call: one with other versions, plugins, engines, code or configurations, or with more than
    one thread, gets none, and is named in a warning.

    Parameters
    ----------
    scheduler : str, Path or distributed.Client
        An address such as ``tcp://host:8786``, a scheduler file, or a client that the caller has,
        and closes.
    patience : float
        Seconds to wait for the scheduler, and for a worker where there is none.
    """

    def __init__(self, scheduler: Any, *, patience: float = 60.0) -> None:
        self._scheduler = scheduler
        self._patience = patience
        self._cluster: Cluster | None = None
        self._most_on_host: int | None = None
        self._known = Counter[str]()
        self._crew: Crew | None = None

    @property
    def workers(self) -> int:
        """Workers of one thread that are there now.

        Raises
        ------
        ExecutorError
            The scheduler cannot be reached, or has no such worker for `patience` seconds.
        PluginLoadError
            Dask is not installed.
        """
        return sum(self._workers_by_host().values())

    @property
    def workers_of_host(self) -> int:
        """The most of them that are on one machine; later no more are used of any."""
        self._most_on_host = max(self._workers_by_host().values())
        return self._most_on_host

    def prepare(self) -> None:
        """Forget what was known of the scheduler and its workers: they are compared again."""
        self._crew, self._most_on_host = None, None
        if self._is_own and self._cluster is not None and not self._cluster.is_there:
            self.close()

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> Generator[tuple[int, Any]]:
        """Yield (index of the item, result or exception).

        Raises
        ------
        ExecutorError
            The scheduler was lost, or for `patience` seconds there was no worker.
        """
        if not len(items):
            return
        # Another `map` at the same time has workers of its own session.
        crew, self._crew = self._crew or Crew(self._connected()), None
        crew.most_on_host = self._most_on_host
        calls = Round(crew, function, items, patience=self._patience)
        try:
            yield from calls.outcomes()
        except BaseException:
            try:
                with contextlib.suppress(ExecutorError, OSError):  # the scheduler is gone, too
                    calls.close()
            finally:  # also after a second interrupt
                calls.release()
            raise
        self._crew = crew

    def close(self) -> None:
        """End the connection to the scheduler; a client of the caller stays."""
        if self._cluster is not None and self._is_own:
            self._cluster.close()
        self._cluster = self._crew = None

    @property
    def _is_own(self) -> bool:
        return not hasattr(self._scheduler, "scheduler_info")

    def _connected(self) -> Cluster:
        if self._cluster is None:
            self._cluster = (
                connected(self._scheduler, self._patience)
                if self._is_own
                else Cluster(self._scheduler, self._scheduler.scheduler.address)
            )
        return self._cluster

    def _workers_by_host(self) -> Counter[str]:
        """Return how many workers of use each machine has, or had when there were any."""
        if not self._known:
            self._known = self._awaited_workers()
        elif self._cluster is not None:
            with contextlib.suppress(ExecutorError):  # a report is written all the same
                self._known = _by_host(self._cluster.workers()) or self._known
        return self._known

    def _awaited_workers(self) -> Counter[str]:
        """Wait for the first worker; return how many each machine has."""
        end = time.monotonic() + self._patience
        while True:
            seen = self._connected().workers()
            if found := _by_host(seen):
                return found
            if time.monotonic() > end:
                raise no_worker(self._connected(), self._patience, refusals(seen.values()))
            time.sleep(_GLANCE)


def _by_host(workers: Mapping[str, SeenWorker]) -> Counter[str]:
    return Counter(w.host for w in workers.values() if w.is_running and w.threads == 1)
