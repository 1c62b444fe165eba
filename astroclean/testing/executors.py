"""Contract test of executors: subclass it and make yours.

    from astroclean.testing.executors import ExecutorContract

    class TestMine(ExecutorContract):
        def make(self):
            return MyExecutor("tcp://scheduler:8786")

All that a run relies on is then tested. Workers must be able to import `astroclean.testing`, and
share a folder for temporary files with the tests. Needs pytest.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest

from astroclean.core.run_cache import cached_for_run
from astroclean.runner.calls import OfRun
from astroclean.runner.executors import WorkerDied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from astroclean.runner.executors import Executor

__all__ = ["ExecutorContract"]

_DEADLY = 13


class ExecutorContract:
    """What every executor holds, wherever it makes its calls."""

    has_own_workers: ClassVar[bool] = True
    """Whether a worker can die without the process that runs."""

    def make(self) -> Executor:
        """Return the executor under test."""
        raise NotImplementedError

    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        """Give the executor under test, and close it."""
        with contextlib.closing(self.make()) as executor:
            yield executor

    def test_numbers_of_workers(self, executor: Executor) -> None:
        """Frames are shared by the one, memory by the other."""
        assert 1 <= executor.workers_of_host <= executor.workers

    def test_every_item_has_one_result(self, executor: Executor) -> None:
        """In any order; many more items than workers."""
        items = list(range(8 * executor.workers + 3))
        outcomes = list(executor.map(_negative, items))
        assert sorted(outcomes) == [(item, -item) for item in items]

    def test_no_items(self, executor: Executor) -> None:
        """No item, no result."""
        assert list(executor.map(_negative, [])) == []

    def test_exceptions_are_handed_back(self, executor: Executor) -> None:
        """As values, with what they tell; the other items have their results."""
        words = ["ok", "ValueError", "SystemExit", "Stubborn", "ok"]
        outcomes = dict(executor.map(_raising, words))
        assert outcomes[0] == outcomes[4] == "ok"
        assert isinstance(outcomes[1], ValueError)
        assert isinstance(outcomes[2], SystemExit)
        assert isinstance(outcomes[3], Exception)  # it cannot be pickled
        for index in (1, 2, 3):
            assert words[index] in str(outcomes[index])
            assert outcomes[index].seconds >= 0

    def test_a_dead_worker_costs_its_item_alone(self, executor: Executor) -> None:
        """Whatever it died of, and as often as it does."""
        if not self.has_own_workers:
            pytest.skip("calls are made in this process")
        items = [1, 2, _DEADLY, 3, 4, 5, -_DEADLY, 6]
        outcomes = dict(executor.map(_deadly, items))
        assert sorted(outcomes) == list(range(len(items)))
        for index, item in enumerate(items):
            if abs(item) == _DEADLY:
                assert isinstance(outcomes[index], WorkerDied)
                assert outcomes[index].seconds >= 0
            else:
                assert outcomes[index] == item
        # Its workers are of use again.
        assert dict(executor.map(_negative, [7])) == {0: -7}

    def test_a_worker_makes_one_call_at_a_time(self, executor: Executor) -> None:
        """What a stage warns of is caught, and that is common to all threads of a process."""
        count = 4 * executor.workers
        calls = sorted(told for _, told in executor.map(_span, [0.02] * count))
        for before, after in itertools.pairwise(calls):
            if before[0] == after[0]:
                assert before[2] <= after[1]

    def test_nothing_goes_on_after_it_is_left(self, executor: Executor, tmp_path: Path) -> None:
        """An interrupted run gives its folder free: nobody may write there any more."""
        items = [str(tmp_path / f"{number}") for number in range(4 * executor.workers)]
        results = executor.map(_late, items)
        next(results)
        results.close()
        there = sorted(tmp_path.iterdir())
        time.sleep(2 * _LATE)
        assert sorted(tmp_path.iterdir()) == there
        assert dict(executor.map(_negative, [7])) == {0: -7}

    def test_close_may_come_at_any_time(self) -> None:
        """Before the first call, twice, and before further calls."""
        executor = self.make()
        executor.close()
        executor.prepare()
        executor.prepare()
        assert dict(executor.map(_negative, [1])) == {0: -1}
        executor.close()
        executor.close()
        assert dict(executor.map(_negative, [2])) == {0: -2}
        executor.close()

    def test_nothing_is_kept_from_one_run_to_the_next(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        """A file of the same size, changed within the resolution of its time, is read again."""
        path = tmp_path / "map"
        for run, content in (("first", "old"), ("second", "new")):
            path.write_text(content, "utf-8")
            os.utime(path, ns=(0, 0))
            items = [str(path)] * (2 * executor.workers)
            told = {text for _, text in executor.map(OfRun(run, _remembered), items)}
            assert told == {content}


_LATE = 0.5  # seconds


def _negative(number: int) -> int:
    return -number


class _Stubborn(Exception):  # noqa: N818 - as plugins have them
    """An exception that cannot be made again from its arguments."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)
        self.lock = threading.Lock()


def _raising(word: str) -> str:
    if word == "ValueError":
        raise ValueError(word)
    if word == "SystemExit":
        raise SystemExit(word)
    if word == "Stubborn":
        raise _Stubborn(word, "!")
    return word


def _deadly(number: int) -> int:
    if number == _DEADLY:
        os._exit(1)
    if number == -_DEADLY:
        os.abort()
    return number


def _span(seconds: float) -> tuple[int, float, float]:
    begin = time.time()
    time.sleep(seconds)
    return os.getpid(), begin, time.time()


def _late(path: str) -> None:
    if not path.endswith(f"{os.sep}0"):
        time.sleep(_LATE)
    Path(path).touch()


@cached_for_run(maxsize=4)
def _remembered(path: str) -> str:
    return Path(path).read_text("utf-8")
