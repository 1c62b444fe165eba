"""What these tests make samples with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[2] / "data" / "toy_samples"
sys.path.insert(0, str(SAMPLES))


@pytest.fixture(autouse=True)
def _processes_find_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SAMPLES))
