"""Threads: the order of the parts, and the first error."""

from __future__ import annotations

import threading
import time

import pytest

from astroclean.core.parallel import in_threads


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_the_order_of_the_parts(threads: int) -> None:
    def work(part: int) -> int:
        time.sleep(0.002 * (5 - part))
        return part**2

    assert in_threads(work, range(5), threads) == [0, 1, 4, 9, 16]


def test_parts_are_done_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=20)
    # Alone, the first would wait for ever.
    places = in_threads(lambda part: both.wait(), range(2), 2)  # noqa: ARG005
    assert sorted(places) == [0, 1]


def test_one_thread_is_the_callers() -> None:
    assert in_threads(lambda part: threading.get_ident(), [0], 1) == [threading.get_ident()]  # noqa: ARG005


def test_the_error_of_the_first_part_is_raised_and_the_rest_left() -> None:
    begun = []

    def work(part: int) -> None:
        begun.append(part)
        time.sleep(0.01)
        if part in {1, 2}:
            raise ValueError(part)

    with pytest.raises(ValueError, match="1"):
        in_threads(work, range(200), 2)
    assert len(begun) < 200
