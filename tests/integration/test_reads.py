"""How often the bytes of an input are read: once to know it, once for its pixels, once to copy."""

from __future__ import annotations

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
def test_an_input_is_read_three_times_and_once_where_it_is_up_to_date(
    tmp_path: Path, toys: Path
) -> None:
    stages = [{"plugin": "toy-bright"}, {"plugin": "toy-fill"}]
    products = {"report": False, "keep": ["flags"]}
    config: dict[str, Any] = {"schema": 1, "stage": stages, "products": products}

    def reads(raw: Path, out: Path, status: str) -> float:
        before = bytes_read()
        (record,) = astroclean.run(config, raw, output=out, jobs=0).files
        after = bytes_read()
        assert record.status == status
        assert record.contradictions == []
        written = (out / f"{raw.stem}_clean.fits").stat().st_size  # it is hashed once, too
        return (after - before - written) / raw.stat().st_size

    reads(exposure(tmp_path / "small.fits", 64), tmp_path / "imports", "done")
    # large beside the metadata of the installed packages, which each run reads (about 2 MB)
    raw = exposure(tmp_path / "large.fits", 2400)
    assert reads(raw, tmp_path / "out", "done") == pytest.approx(3, abs=0.2)
    assert reads(raw, tmp_path / "out", "up to date") == pytest.approx(1, abs=0.2)
