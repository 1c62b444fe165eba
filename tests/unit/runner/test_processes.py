"""What an interrupt must not leave behind in the process that waits."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from astroclean.runner.executors.processes import _unlocked


def test_an_interrupt_while_futures_are_locked_leaves_none_locked() -> None:
    """`wait` locks them one by one; a signal between two of them would leave the first locked."""
    futures = [Future[int](), Future[int]()]
    with pytest.raises(KeyboardInterrupt):
        _interrupted(futures)
    cancelled: list[bool] = []
    threads = [
        threading.Thread(target=lambda f=f: cancelled.append(f.cancel()), daemon=True)
        for f in futures
    ]
    for thread in threads:
        thread.start()
        thread.join(timeout=10)
    assert cancelled == [True, True]


def _interrupted(futures: list[Future[int]]) -> None:
    with _unlocked(futures):
        vars(futures[0])["_condition"].acquire()
        raise KeyboardInterrupt
