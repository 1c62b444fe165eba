"""The workers that make the calls of a run: who joins, who is refused, who was lost."""

from __future__ import annotations

import logging
import queue
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from astroclean.errors import ExecutorError
from astroclean.runner.executors.dask.calls import admit, end
from astroclean.runner.executors.dask.cluster import Ended

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from astroclean.runner.executors.dask.cluster import Cluster, SeenWorker

__all__ = ["Call", "Crew", "Member", "no_worker", "refusals"]

_LOGGER = logging.getLogger(__name__)


@dataclass(eq=False)
class Call:
    """A call that was given to a worker."""

    index: int
    """Of its item."""
    number: int
    """By which the worker knows it: an item may be called on again."""
    member: Member
    future: Any
    is_alone: bool
    """Whether its item is a suspect, and its worker has no other."""
    started: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class Member:
    """A worker that was asked to join."""

    address: str
    host: str
    joining: Any
    """Future of its comparison with this process; None when it was found to be the same."""
    calls: dict[str, Call] = field(default_factory=dict)
    """That it was given, oldest first, by key."""
    is_leaving: bool = False
    """Whether it makes no more than it has begun."""

    @property
    def has_suspect(self) -> bool:
        """Whether its call is of a suspect."""
        return any(call.is_alone for call in self.calls.values())


class Crew:
    """Workers of a scheduler in one session, and what they were given.

    Parameters
    ----------
    cluster : Cluster
        Scheduler.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.members: dict[str, Member] = {}
        self.ended = queue.SimpleQueue[Ended]()
        """What has ended, answers of workers that were asked to join among it."""
        self.most_on_host: int | None = None
        """Workers of one machine that may have calls, where its memory was shared by them."""
        self._session = uuid.uuid4().hex
        self._here = _installation()
        self._joining: dict[str, Member] = {}
        self._refused: dict[str, str] = {}
        self._count = 0
        self.begin_round()

    def ready(self) -> Iterator[Member]:
        """Yield the workers that make calls."""
        return (m for m in list(self.members.values()) if m.joining is None and not m.is_leaving)

    def look(self) -> tuple[list[Call], list[Call]]:
        """Ask the scheduler who is there.

        Returns
        -------
        (list of Call, list of Call)
            Calls whose worker is gone, and calls that their worker will not begin, as it takes
            none for now.

        Raises
        ------
        ExecutorError
            The scheduler was lost.
        """
        seen = self.cluster.workers()
        lost, left = [], []
        for member in list(self.members.values()):
            if member.address not in seen:
                lost += self.leave(member)
            elif member.joining is None and not seen[member.address].is_running:
                left += self._withdrawn(member)
            elif member.is_leaving and not member.calls:
                self.leave(member)  # it may join again
        self._refused = {a: why for a, why in self._refused.items() if a in seen}
        for worker in seen.values():
            if worker.address not in self.members and worker.address not in self._refused:
                self._ask(worker)
        return lost, left

    def _ask(self, worker: SeenWorker) -> None:
        """Let a worker compare itself, if it may have calls at all."""
        unfit = refusals([worker]).get(worker.address)
        if unfit is not None:
            self._refuse(worker.address, unfit)
        elif worker.is_running and self._has_room(worker.host):
            joining = self._submitted(worker.address, admit, self._session, self._here)
            member = Member(worker.address, worker.host, joining)
            self.members[worker.address] = self._joining[joining.key] = member

    def _has_room(self, host: str) -> bool:
        there = sum(member.host == host for member in self.members.values())
        return self.most_on_host is None or there < self.most_on_host

    def joined(self, ended: Ended) -> bool:
        """Take the answer of a worker that was asked to join; return whether it was one."""
        member = self._joining.pop(ended.key, None)
        if member is None:
            return False
        if ended.is_forgotten:
            raise self.cluster.lost()
        member.joining.release()
        member.joining = None
        if ended.error or ended.answer:
            del self.members[member.address]
            if not ended.has_died:
                self._refuse(member.address, _problem(ended))
        return True

    def _refuse(self, address: str, why: str) -> None:
        self._refused[address] = why
        _LOGGER.warning("%s: worker %s gets no call: it %s", self.cluster.name, address, why)

    def give(self, member: Member, function: Callable[..., Any], index: int, call: bytes) -> Call:
        """Give a call to a worker; whether it is alone is for the caller to tell."""
        number = self._count
        future = self._submitted(member.address, function, self._session, number, call)
        given = Call(index, number, member, future, is_alone=False)
        member.calls[future.key] = given
        return given

    def _submitted(self, address: str, function: Callable[..., Any], *values: Any) -> Any:
        key = f"astroclean-{self._session}-{self._count}"
        self._count += 1
        return self.cluster.submit(address, key, (function, *values), self.ended.put)

    def leave(self, member: Member) -> list[Call]:
        """Forget a worker; return the calls that it had."""
        self.members.pop(member.address, None)
        if member.joining is not None:
            del self._joining[member.joining.key]
            member.joining.release()
        return _released(member, member.calls.copy())

    def _withdrawn(self, member: Member) -> list[Call]:
        """Take the calls from a worker that it has not begun."""
        if member.is_leaving:
            return []
        member.is_leaving = True
        under_way = self.end_session([member.address])
        unbegun = {k: call for k, call in member.calls.items() if call.number not in under_way}
        return _released(member, unbegun)

    def end_session(self, addresses: Collection[str]) -> set[int]:
        """Let no call begin any more on some workers.

        Parameters
        ----------
        addresses : collection of str
            Of the workers; those that are gone are none.

        Returns
        -------
        set of int
            Numbers of the calls that are under way there.
        """
        if not addresses:
            return set()
        told = self.cluster.client.run(end, self._session, workers=[*addresses], on_error="ignore")
        return {number for numbers in told.values() for number in numbers}

    def begin_round(self) -> None:
        """Begin to count the time without a worker."""
        self._idle_since, self._has_warned = time.monotonic(), False

    def wait_for_workers(self, patience: float) -> None:
        """Raise where for so many seconds there was no worker that could make calls.

        One that has not answered yet may have a task of someone else.

        Parameters
        ----------
        patience : float
            Seconds.

        Raises
        ------
        ExecutorError
            With what is wrong with the workers that there are.
        """
        now = time.monotonic()
        if next(self.ready(), None) is not None:
            self.begin_round()
            return
        if not self.members and now - self._idle_since > patience:
            raise no_worker(self.cluster, patience, self._refused)
        if not self._has_warned and now - self._idle_since > _LONG:
            self._has_warned = True
            told = "%s: no worker makes calls; %d were asked, and the run waits for them"
            if not self.members:
                told = f"%s: no worker makes calls, and %d were asked; waiting {patience:.0f} s"
            _LOGGER.warning(told, self.cluster.name, len(self.members))


def _installation() -> dict[str, str]:
    from astroclean.runner.executors.installation import (  # noqa: PLC0415 - takes half a second
        installation,
    )

    return installation()


_LONG = 3.0  # seconds without a worker, of which is told


def refusals(workers: Iterable[SeenWorker]) -> dict[str, str]:
    """Return the workers that cannot have calls whatever they have installed, with the reason."""
    return {
        worker.address: f"has {worker.threads} threads; start it with --nthreads 1"
        for worker in workers
        if worker.threads != 1
    }


def no_worker(cluster: Cluster, patience: float, refused: dict[str, str]) -> ExecutorError:
    """Return the error of a scheduler without workers of use."""
    told = "; ".join(f"worker {address} {why}" for address, why in sorted(refused.items()))
    return ExecutorError(
        f"no worker could be used for {patience:.0f} s" + (f": {told}" if told else ""),
        where=f"scheduler {cluster.name}",
        remedy="Start workers with `dask worker SCHEDULER --nthreads 1`, in the same environment, "
        "anew where code was updated while they lived; then run again: what is finished is kept.",
    )


def _problem(ended: Ended) -> str:
    """Return why a worker that was asked to join gets no call."""
    if ended.error is not None:
        kind = type(ended.error).__name__
        return f"cannot be compared with this process: {kind}: {ended.error}"
    return f"has {', '.join(ended.answer)}"


def _released(member: Member, calls: dict[str, Call]) -> list[Call]:
    for key, call in calls.items():
        del member.calls[key]
        call.future.release()
    return list(calls.values())
