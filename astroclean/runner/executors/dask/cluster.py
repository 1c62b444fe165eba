"""A scheduler of Dask: how it is reached, and which workers it has."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astroclean.errors import ExecutorError, PluginLoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Cluster", "Ended", "SeenWorker", "connected"]

_GLANCE = 0.2  # seconds


@dataclass(frozen=True)
class SeenWorker:
    """A worker as its scheduler tells."""

    address: str
    host: str
    threads: int
    is_running: bool
    """Whether it takes calls: one that is short of memory or about to end does not."""


@dataclass(frozen=True)
class Ended:
    """What came of a task."""

    key: str
    answer: Any = None
    error: BaseException | None = None
    """Of Dask or of unpickling; what our functions raise is part of their answer."""

    @property
    def has_died(self) -> bool:
        """Whether the worker is gone, as the scheduler says."""
        from distributed.scheduler import KilledWorker, NoValidWorkerError  # noqa: PLC0415

        return isinstance(self.error, (KilledWorker, NoValidWorkerError))

    @property
    def is_forgotten(self) -> bool:
        """Whether the scheduler knows of it no more."""
        return isinstance(self.error, _CANCELLED)


_CANCELLED = (asyncio.CancelledError, concurrent.futures.CancelledError)


@dataclass(frozen=True)
class Cluster:
    """A client of a scheduler, and what messages call the scheduler."""

    client: Any
    """A `distributed.Client`."""
    name: str

    def workers(self) -> dict[str, SeenWorker]:
        """Ask the scheduler for its workers.

        Returns
        -------
        dict of str to SeenWorker
            By address.

        Raises
        ------
        ExecutorError
            The scheduler was lost.
        """
        self.check()
        told: Mapping[str, Any] = self.client.scheduler_info(n_workers=-1)["workers"]
        self.check()  # of a scheduler that was lost the client tells what it last knew
        return {
            address: SeenWorker(
                address, str(worker["host"]), worker["nthreads"], worker["status"] == "running"
            )
            for address, worker in told.items()
        }

    def submit(
        self, address: str, key: str, call: tuple[Any, ...], tell: Callable[..., Any]
    ) -> Any:
        """Give a task to one worker.

        Parameters
        ----------
        address : str
            Of the worker.
        key : str
            That no other task has.
        call : tuple
            Function and arguments.
        tell : callable
            Called with an :class:`Ended`, from another thread, when the answer is here.

        Returns
        -------
        distributed.Future
            To be released.
        """
        where = {"workers": [address], "allow_other_workers": False}
        future = self.client.submit(*call, key=key, pure=False, retries=0, **where)

        async def follow() -> None:
            # In the loop of the client many answers are fetched at a time.
            try:
                tell(Ended(key, await future.result()))
            except (Exception, *_CANCELLED) as error:  # noqa: BLE001 - whatever Dask raises
                tell(Ended(key, error=error))

        self.client.loop.add_callback(follow)
        return future

    @property
    def is_there(self) -> bool:
        """Whether the connection stands."""
        return bool(self.client.status == "running")

    def check(self) -> None:
        """Raise an ExecutorError where the scheduler was lost."""
        if not self.is_there:
            raise self.lost()

    def lost(self) -> ExecutorError:
        """Return the error of a scheduler that was lost."""
        return ExecutorError(
            "the connection to the scheduler of Dask was lost",
            where=self.name,
            remedy="Run again when it is back; what is finished is kept.",
        )

    def close(self) -> None:
        """End the connection; the scheduler forgets what it was asked for."""
        logger = logging.getLogger("distributed.client")
        level = logger.level
        if not self.is_there:  # it would tell once more, with a traceback
            logger.setLevel(logging.CRITICAL)
        try:
            with contextlib.suppress(OSError, TimeoutError):
                self.client.close()
        finally:
            logger.setLevel(level)


def connected(scheduler: str | Path, patience: float) -> Cluster:
    """Connect to a scheduler.

    Parameters
    ----------
    scheduler : str or Path
        An address such as ``tcp://host:8786``, or a scheduler file, which may still have to be
        written. TLS as Dask's own configuration says.
    patience : float
        Seconds to wait for it.

    Returns
    -------
    Cluster
        To be closed.

    Raises
    ------
    ExecutorError
        It cannot be reached.
    PluginLoadError
        Dask is not installed.
    """
    try:
        from distributed import Client  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise PluginLoadError(
            f"a scheduler of Dask needs the package distributed: {error}",
            where=str(scheduler),
            remedy="pip install 'astroclean[dask]', or run with -j.",
        ) from error
    end = time.monotonic() + patience
    address = str(scheduler) if "://" in str(scheduler) else _address_in(Path(scheduler), end)
    try:
        left = max(end - time.monotonic(), 1)
        client = Client(address, timeout=left, set_as_default=False, name="astroclean")
    except (OSError, ValueError, ImportError) as error:
        raise _unreachable(str(scheduler), patience, error) from error
    return Cluster(client, str(scheduler))


def _address_in(path: Path, end: float) -> str:
    """Return the address that a scheduler has written into its file; wait for it."""
    started = time.monotonic()
    while True:
        try:
            return str(json.loads(path.read_text("utf-8"))["address"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            if time.monotonic() > end:
                raise _unreachable(str(path), end - started, error) from error
        time.sleep(_GLANCE)


def _unreachable(scheduler: str, patience: float, error: Exception) -> ExecutorError:
    return ExecutorError(
        f"the scheduler of Dask cannot be reached within {patience:.0f} s: {error}",
        where=scheduler,
        remedy="Is it running (`dask scheduler`)? Its address is in the first lines that it tells.",
    )
