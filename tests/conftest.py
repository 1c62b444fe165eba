"""Fixtures shared by all tests: real data and programs that other people wrote."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from astroclean.runner.executors import SerialExecutor, choice

DATA = Path(
    os.environ.get("ASTROCLEAN_TEST_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")
).resolve()
IN_CI = os.environ.get("ASTROCLEAN_CI") == "1"


if TYPE_CHECKING:
    from collections.abc import Iterator

    from astroclean.runner.executors import Executor


@pytest.fixture(scope="session", autouse=True)
def one_job_in_this_process() -> Iterator[None]:
    """Let runs of one job that tests call within their process stay there: a worker takes seconds.

    The command line started as a process has its worker, and gives the same bytes.
    """
    real = choice.ProcessExecutor

    def chosen(jobs: int, **settings: Any) -> Executor:
        return SerialExecutor() if jobs == 1 else real(jobs, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "ProcessExecutor", chosen)
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real exposures, masks and PSFs; skips where it is not there."""
    if not DATA.is_dir():
        pytest.skip(f"no real data in {DATA}; set ASTROCLEAN_TEST_DATA")
    return DATA


def _needed_program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        problem = f"{name} is not installed (a Debian package, see requirements/apt.txt)"
        if IN_CI:
            pytest.fail(f"{problem}; it must run where ASTROCLEAN_CI=1")
        pytest.skip(problem)
    return found


class FitsVerify:
    """NASA's fitsverify."""

    def __init__(self, program: str) -> None:
        self._program = program

    def counts(self, path: Path) -> tuple[int, int]:
        """Return how many errors and warnings it finds in a file."""
        done = subprocess.run(
            [self._program, str(path)], capture_output=True, text=True, check=False
        )
        text = done.stdout + done.stderr
        assert "Verification found" in text, f"fitsverify of {path.name}: {text}"
        found = re.findall(r"^\*\*\* (Warning|Error): *(.*)", text, re.MULTILINE)
        # WCS Paper IV itself asks for several cards DPj.
        kinds = [kind for kind, what in found if not re.match(r"Keyword DP\d is duplicated", what)]
        return kinds.count("Error"), kinds.count("Warning")


@pytest.fixture(scope="session")
def fitsverify() -> FitsVerify:
    """NASA's checker of the FITS standard."""
    return FitsVerify(_needed_program("fitsverify"))


@pytest.fixture(scope="session")
def funpack() -> str:
    """NASA's unpacker of tile-compressed files: its path."""
    return _needed_program("funpack")
