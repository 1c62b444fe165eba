"""One `map` on a cluster: which worker gets which item, and whose fault a death was."""

from __future__ import annotations

import contextlib
import logging
import pickle
import queue
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from astroclean.runner.executors.dask.calls import make_call
from astroclean.runner.executors.dask.cluster import Ended
from astroclean.runner.executors.executor import WorkerDied

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from astroclean.runner.executors.dask.crew import Call, Crew, Member

__all__ = ["Round"]

_LOGGER = logging.getLogger(__name__)
_GLANCE = 0.2  # seconds
_LOOK = 1.0  # seconds between looks at the workers
_WORKERS_A_LOOK = 200  # of more workers, looks are farther between: each tells of all of them
_AHEAD = 2  # calls that a worker has: one that it makes, one so that it need not wait


class Round:
    """The calls of one `map`.

    Each item is given to one worker that was compared with this process. When that dies, the items
    that it had are suspects: each is called on again alone on another worker, one at a time on a
    machine, while the others go on. One that ends its worker again is the cause.

    Parameters
    ----------
    crew : Crew
        Workers, none of which has a call.
    function : callable
        Of one item.
    items : sequence
        What it is called on.
    patience : float
        Seconds to wait where there is no worker.
    """

    def __init__(
        self,
        crew: Crew,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        *,
        patience: float,
    ) -> None:
        self._crew = crew
        self._function = function
        self._items = items
        self._patience = patience
        self._fresh = iter(range(len(items)))
        self._unbegun = len(items)
        self._again = deque[int]()
        self._suspects = deque[int]()
        self._calls: dict[str, Call] = {}
        self._next_look = 0.0
        crew.begin_round()

    def outcomes(self) -> Iterator[tuple[int, Any]]:
        """Yield (index of the item, result or exception).

        Raises
        ------
        ExecutorError
            The scheduler was lost, or there is no worker.
        """
        left = len(self._items)
        while left:
            for outcome in self._look():
                yield outcome
                left -= 1
            self._give()
            for ended in self._some_ended():
                for outcome in self._taken(ended):
                    yield outcome
                    left -= 1

    def close(self) -> None:
        """Let no call begin any more, and wait for those that are under way."""
        if not self._crew.cluster.is_there:
            return  # nobody can be told any more, and the workers end with their scheduler
        asked = set(self._crew.members)
        has_told = False
        # All of them: where a call was given when the interrupt came may not be on record.
        while under_way := self._crew.end_session(asked & self._crew.cluster.workers().keys()):
            if not has_told:
                has_told = True
                told = "%s: waiting for %d calls that workers have begun; they cannot be stopped"
                _LOGGER.warning(told, self._crew.cluster.name, len(under_way))
            time.sleep(_GLANCE)

    def release(self) -> None:
        """Let the scheduler forget what it was asked for."""
        for member in list(self._crew.members.values()):
            self._crew.leave(member)

    # What happens at the workers

    def _look(self) -> list[tuple[int, Any]]:
        """See to the workers that are new, gone, or take nothing; return what is known by that."""
        if time.monotonic() < self._next_look:
            return []
        lost, unbegun = self._crew.look()
        for call in unbegun:
            self._calls.pop(call.future.key, None)
            (self._suspects if call.is_alone else self._again).append(call.index)
        seconds = _LOOK * max(1.0, len(self._crew.members) / _WORKERS_A_LOOK)
        self._next_look = time.monotonic() + seconds
        self._crew.wait_for_workers(self._patience)
        return self._died(lost)

    def _died(self, calls: list[Call]) -> list[tuple[int, Any]]:
        """Make suspects of calls whose worker died; return those that were suspects."""
        causes = []
        for call in calls:
            self._calls.pop(call.future.key, None)
            if call.is_alone:
                causes.append((call.index, _death(call)))
            else:
                self._suspects.append(call.index)
        return causes

    def _some_ended(self) -> list[Ended]:
        """Wait until calls have ended, or it is time for a look."""
        ended = list[Ended]()
        left = max(0.01, self._next_look - time.monotonic())
        with contextlib.suppress(queue.Empty):
            ended.append(self._crew.ended.get(timeout=left))
            while True:
                ended.append(self._crew.ended.get_nowait())
        return ended

    def _taken(self, ended: Ended) -> list[tuple[int, Any]]:
        """Return what came of a call that has ended: its outcome, or that its worker died."""
        if self._crew.joined(ended):
            return []
        call = self._calls.get(ended.key)
        if call is None:  # its worker was lost, or it was taken back
            return []
        if ended.is_forgotten:
            raise self._crew.cluster.lost()
        if ended.has_died or (ended.error is None and ended.answer is None):
            # In the second case another process has the address of the one that was compared.
            return self._died(self._crew.leave(call.member))
        del self._calls[ended.key], call.member.calls[ended.key]
        call.future.release()
        answer = ended.error or pickle.loads(ended.answer)  # noqa: S301 - of our workers
        return [(call.index, answer)]

    # Who gets what

    def _give(self) -> None:
        """Give calls to the workers that have room."""
        hosts = {call.member.host for call in self._calls.values() if call.is_alone}
        for member in self._crew.ready():
            if self._suspects and not member.calls and member.host not in hosts:
                hosts.add(member.host)
                self._submit(member, self._suspects.popleft(), is_alone=True)
            while not member.has_suspect and len(member.calls) < self._room():
                index = self._next_index()
                if index is None:
                    break
                self._submit(member, index)

    def _room(self) -> int:
        """Return how many calls a worker has; one where it is soon to be shared who gets the rest.

        A worker that is to have a suspect must first be idle.
        """
        few = self._unbegun <= _AHEAD * len(self._crew.members)
        return 1 if few or self._suspects else _AHEAD

    def _next_index(self) -> int | None:
        if self._again:
            return self._again.popleft()
        index = next(self._fresh, None)
        self._unbegun -= index is not None
        return index

    def _submit(self, member: Member, index: int, *, is_alone: bool = False) -> None:
        call = pickle.dumps((self._function, self._items[index]), pickle.HIGHEST_PROTOCOL)
        given = self._crew.give(member, make_call, index, call)
        given.is_alone = is_alone
        self._calls[given.future.key] = given


def _death(call: Call) -> WorkerDied:
    died = WorkerDied(
        f"two workers died that worked on it, the last {call.member.address}; out of memory (of "
        "the machine, or of `--memory-limit`), or a crash in a library"
    )
    died.seconds = time.monotonic() - call.started
    return died
