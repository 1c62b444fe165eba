"""Both executors give every result once; a fault or a death costs its own item alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from astroclean.runner.executors import (
    ProcessExecutor,
    SerialExecutor,
    make_executor,
)
from astroclean.testing.executors import ExecutorContract

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def square(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], int]:
    """A function that other processes can import, wherever this file lies."""
    import sys

    folder = tmp_path_factory.mktemp("importable")
    text = (
        "import os, time\n"
        "def square(n):\n"
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


class TestSerial(ExecutorContract):
    has_own_workers = False

    def make(self) -> SerialExecutor:
        return SerialExecutor()


class TestOneProcess(ExecutorContract):
    def make(self) -> ProcessExecutor:
        return ProcessExecutor(1)


class TestProcesses(ExecutorContract):
    def make(self) -> ProcessExecutor:
        return ProcessExecutor(3)


def test_leaving_early_ends_the_workers(square: Callable[[int], int]) -> None:
    results = ProcessExecutor(2).map(square, [1, 99, 99])
    assert next(results) == (0, 1)
    begin = time.monotonic()
    results.close()  # type: ignore[attr-defined]
    assert time.monotonic() - begin < 20


def test_only_no_jobs_are_in_this_process(square: Callable[[int], int]) -> None:
    import squares

    assert isinstance(make_executor(0), SerialExecutor)
    assert dict(make_executor(0).map(squares.process_id, [0])) == {0: os.getpid()}
    for jobs in (1, 2):
        assert os.getpid() not in dict(ProcessExecutor(jobs).map(squares.process_id, [0])).values()


SCRIPT = """
import multiprocessing, pathlib, sys
from astroclean.runner.executors import make_executor
with pathlib.Path(sys.argv[1]).open("a") as told:
    told.write("begun\\n")
def tell(_):
    return [i for _, o in [*make_executor(1).map(abs, [-3]), *make_executor(2).map(abs, [-5])]
            for i in [o]]
print(tell(0))
if len(sys.argv) > 2:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        print(pool.map(tell, [0]))
"""


def test_a_script_without_guard_is_not_begun_again_by_workers(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "told")]
    # A worker of a pool may have no processes of its own.
    done = subprocess.run([*command, "pool"], capture_output=True, text=True, check=True)
    assert done.stdout == "[3, 5]\n[[3, 5]]\n"
    assert done.stderr == ""
    assert (tmp_path / "told").read_text() == "begun\n"
