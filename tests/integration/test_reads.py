"""How often an input is read: once in all, where it fits into memory; then not again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from toy_runs import digests

import astroclean
from astroclean.runner.plan import at_hand

_COUNTERS = Path("/proc/self/io")


def bytes_read() -> int:
    """Return what this process has read so far, as the system counts it, cached or not."""
    return int(_COUNTERS.read_text("ascii").split()[1])


def exposure(path: Path, side: int) -> Path:
    rng = np.random.default_rng(1)
    image = rng.normal(100, 5, (side, side)).astype(np.float32)
    image[rng.integers(0, side, 9), rng.integers(0, side, 9)] = 5000
    error = np.full(image.shape, 5, np.float32)
    science = fits.ImageHDU(image, fits.Header({"BUNIT": "adu"}), name="SCI")
    hdus = fits.HDUList([fits.PrimaryHDU(), science, fits.ImageHDU(error, name="ERR")])
    hdus.writeto(path, checksum=True)
    return path


STAGES = [{"plugin": "toy-bright"}, {"plugin": "toy-fill"}]
CONFIG: dict[str, Any] = {
    "schema": 1,
    "stage": STAGES,
    "products": {"report": False, "keep": ["flags"]},
}


def reads(raw: Path, out: Path, status: str = "done", **changed: Any) -> float:
    """Return what a run in this process reads, in sizes of its input."""
    before = bytes_read()
    (record,) = astroclean.run({**CONFIG, **changed}, raw, output=out, jobs=0).files
    after = bytes_read()
    assert (record.status, record.contradictions) == (status, [])
    return (after - before) / raw.stat().st_size


@pytest.fixture
def large(tmp_path: Path, toys: Path) -> Path:
    """An input that is large beside the metadata of packages, which each run reads (2 MB)."""
    reads(exposure(tmp_path / "small.fits", 64), tmp_path / "imports")
    file = exposure(tmp_path / "large.fits", 2400)
    os.utime(file, (10, 10))  # of a file that was changed a moment ago nothing is certain
    return file


@pytest.mark.slow
@pytest.mark.skipif(not _COUNTERS.exists(), reason="reads the counters of Linux")
def test_an_input_is_read_once_and_never_again_where_it_is_up_to_date(
    large: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    written = 1.5  # of the input's size: the image, its error, and flags
    assert reads(large, out) == pytest.approx(1 + written, abs=0.25)
    assert reads(large, out, "up to date") <= written + 0.25  # what was written a moment ago
    assert reads(large, out, "up to date") <= 0.25
    # Another option: what is on record of the content holds, and it is not hashed.
    other = [{"plugin": "toy-bright", "options": {"level": 700}}, {"plugin": "toy-fill"}]
    assert reads(large, out, stage=other) == pytest.approx(1 + written, abs=0.25)


@pytest.mark.slow
@pytest.mark.skipif(not _COUNTERS.exists(), reason="reads the counters of Linux")
def test_one_that_does_not_fit_into_memory_is_read_three_times_to_the_same_bytes(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads(large, tmp_path / "held")
    monkeypatch.setattr(at_hand, "_HELD", 1 << 20)
    assert reads(large, tmp_path / "out") == pytest.approx(3 + 1.5, abs=0.25)
    assert digests(tmp_path / "out") == digests(tmp_path / "held")
