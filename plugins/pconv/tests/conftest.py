"""Networks of these tests are small: threads that wait for each other would cost more."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# BLAS's own threads make small matrices fifty times slower where the cores are busy. It reads this
# when it is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent / "worlds"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.set_num_threads(1)
