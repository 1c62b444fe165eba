"""What an interrupt must not leave behind in the process that waits."""

from __future__ import annotations

import subprocess
import sys
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


_INTERRUPTED_AT_ITS_END = """
import signal, time
from astroclean.runner.executors.processes import ProcessExecutor
from astroclean.runner.executors.workers import submitted

def interrupt(*_):
    raise KeyboardInterrupt

if __name__ == "__main__":
    executor = ProcessExecutor(1)
    assert list(executor.map(abs, [-1])) == [(0, 1)]
    submitted(executor._pool, time.sleep, 1)
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    executor.close()
"""


def test_an_interrupt_while_workers_are_waited_for_ends_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED_AT_ITS_END],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "KeyboardInterrupt" in done.stderr
    assert done.returncode != 0
