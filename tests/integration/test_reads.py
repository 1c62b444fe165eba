"""How often bytes are read: once to know them, once for pixels, once to copy; then not again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits

import astroclean

if TYPE_CHECKING:
    from typing import Any

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


@pytest.mark.skipif(not _COUNTERS.exists(), reason="reads the counters of Linux")
def test_an_input_is_read_three_times_and_never_again_where_it_is_up_to_date(
    tmp_path: Path, toys: Path
) -> None:
    stages = [{"plugin": "toy-bright"}, {"plugin": "toy-fill"}]
    products = {"report": False, "keep": ["flags"]}
    config: dict[str, Any] = {"schema": 1, "stage": stages, "products": products}

    def reads(raw: Path, out: Path, status: str, **changed: Any) -> float:
        before = bytes_read()
        (record,) = astroclean.run({**config, **changed}, raw, output=out, jobs=0).files
        after = bytes_read()
        assert record.status == status
        assert record.contradictions == []
        return (after - before) / raw.stat().st_size

    small, large = exposure(tmp_path / "small.fits", 64), exposure(tmp_path / "large.fits", 2400)
    os.utime(large, (10, 10))  # of a file that was changed a moment ago nothing is certain
    reads(small, tmp_path / "imports", "done")
    # It is large beside the metadata of the installed packages, which each run reads (about 2 MB).
    out = tmp_path / "out"
    written = 1.5  # of the input's size: the image, its error, and flags
    assert reads(large, out, "done") == pytest.approx(3 + written, abs=0.25)
    assert reads(large, out, "up to date") <= written + 0.25  # what was written a moment ago
    assert reads(large, out, "up to date") <= 0.25
    # Another option: what is on record of the content holds.
    other = [{"plugin": "toy-bright", "options": {"level": 700}}, {"plugin": "toy-fill"}]
    assert reads(large, out, "done", stage=other) == pytest.approx(2 + written, abs=0.25)
