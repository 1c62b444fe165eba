"""Both executors give every result once; a fault or a death costs its own item alone."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from astroclean.runner.executors import (
    ProcessExecutor,
    SerialExecutor,
    WorkerDied,
    make_executor,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def square(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], int]:
    """A function that other processes can import, wherever this file lies."""
    import sys

    folder = tmp_path_factory.mktemp("importable")
    text = (
        "import os, time\n"
        "def square(n):\n"
        "    if n < 0: raise ValueError(f'{n} is negative')\n"
        "    if n == 13: os._exit(1)\n"
        "    if n == 99: time.sleep(60)\n"
        "    return n * n\n"
        "def process_id(n):\n"
        "    return os.getpid()\n"
    )
    (folder / "squares.py").write_text(text, "utf-8")
    sys.path.insert(0, str(folder))
    import squares

    sys.path.remove(str(folder))
    sys.path.append(str(folder))
    function: Callable[[int], int] = squares.square
    return function


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_and_faults(square: Callable[[int], int], jobs: int) -> None:
    items = [3, -1, 5, 0, -2, 7]
    outcomes = dict(make_executor(jobs).map(square, items))
    assert sorted(outcomes) == list(range(len(items)))
    for index, item in enumerate(items):
        if item >= 0:
            assert outcomes[index] == item * item
        else:
            assert isinstance(outcomes[index], ValueError)
            assert str(item) in str(outcomes[index])


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_items(square: Callable[[int], int], jobs: int) -> None:
    assert list(make_executor(jobs).map(square, [])) == []


def test_deaths_cost_their_items_alone(square: Callable[[int], int]) -> None:
    items = [1, 13, 2, 3, 13, 4, 5]
    outcomes = list(ProcessExecutor(2).map(square, items))
    assert sorted(index for index, _ in outcomes) == list(range(len(items)))
    for index, outcome in outcomes:
        if items[index] == 13:
            assert isinstance(outcome, WorkerDied)
        else:
            assert outcome == items[index] ** 2


def test_leaving_early_ends_the_workers(square: Callable[[int], int]) -> None:
    results = ProcessExecutor(2).map(square, [1, 99, 99])
    assert next(results) == (0, 1)
    begin = time.monotonic()
    results.close()  # type: ignore[attr-defined]
    assert time.monotonic() - begin < 20


def test_one_job_stays_in_this_process(square: Callable[[int], int]) -> None:
    import squares

    assert isinstance(make_executor(1), SerialExecutor)
    assert dict(make_executor(1).map(squares.process_id, [0])) == {0: os.getpid()}
    assert os.getpid() not in dict(make_executor(2).map(squares.process_id, [0])).values()
