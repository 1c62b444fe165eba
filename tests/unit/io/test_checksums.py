"""Sums of data are those that astropy computes, and a wrong one is told once, never refused."""

from __future__ import annotations

import gzip
import hashlib
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits

import astroclean
from astroclean.io.fits.checksums import digest_and_sums, wrong_sums
from astroclean.io.fits.source import FitsSource

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = 2880


def image(kind: str = "f4", shape: tuple[int, int] = (30, 31)) -> np.ndarray:
    return np.random.default_rng(3).normal(300, 20, shape).astype(kind)


def written(path: Path) -> bytes:
    """Write images of odd lengths, a table and a compressed image, all with sums by astropy."""
    packed = fits.CompImageHDU(image("i2"), compression_type="RICE_1")
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=np.arange(7))])
    hdus = [fits.PrimaryHDU(image(), fits.Header({"BUNIT": "adu"})), packed, table]
    hdus += [fits.ImageHDU(image("u2")), fits.ImageHDU(np.full((3, 5), 255, "u1"))]
    fits.HDUList(hdus).writeto(path, checksum=True)
    return path.read_bytes()


def told(path: Path) -> list[str]:
    with FitsSource(path) as source:
        digest, found = digest_and_sums(source)
        assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
        assert found == wrong_sums(source)
        return found


@pytest.mark.parametrize("odd", ["no padding", "trailing bytes", "longer than a chunk"])
def test_one_reading_of_odd_files(odd: str, tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    if odd == "longer than a chunk":
        fits.PrimaryHDU(image("f4", (1100, 1101))).writeto(path, checksum=True)
    else:
        content = written(path)
        path.write_bytes(content[:-2000] if odd == "no padding" else content + bytes(999))
    assert told(path) == []


def test_sums_of_astropy_are_right(tmp_path: Path) -> None:
    content = written(tmp_path / "a.fits")
    assert content.count(b"DATASUM = ") == 5
    assert told(tmp_path / "a.fits") == []
    (tmp_path / "a.fits.gz").write_bytes(gzip.compress(content))
    assert told(tmp_path / "a.fits.gz") == []


@pytest.mark.parametrize("number", range(5))
def test_a_changed_bit_of_any_hdu_is_told(number: int, tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    content = bytearray(written(path))
    with FitsSource(path) as source:
        info = source.hdus[number]
    content[info.data_start + (300 if info.is_compressed else 1)] ^= 4  # in the heap
    path.write_bytes(content)
    (text,) = told(path)
    assert f"DATASUM of [{info.label}] is not" in text


@pytest.mark.parametrize("value", ["''", "'x'", "'0.5e'"])
def test_what_is_no_sum_tells_nothing(value: str, tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    content = written(path)
    start = content.index(b"DATASUM = ")
    card = f"DATASUM = {value}".ljust(80).encode()
    path.write_bytes(content[:start] + card + content[start + 80 :])
    assert told(path) == []


def test_many_hdus_are_one_remark(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(image(), name=f"SCI{n}") for n in range(9))]
    fits.HDUList(hdus).writeto(path, checksum=True)
    lines = path.read_bytes()
    path.write_bytes(lines.replace(image().astype(">f4").tobytes(), os.urandom(4 * 30 * 31)))
    (text,) = told(path)
    assert text.startswith("DATASUM of [SCI0,1], [SCI1,1], [SCI2,1] and 6 more is not")


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [0, 2])
def test_a_run_tells_and_does_not_fail(jobs: int, tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    content = bytearray(written(path))
    content[BLOCK * 2 + 3] ^= 1
    path.write_bytes(content)
    stage = {"plugin": "saturation", "options": {"level": 5000.0}}
    pipeline = {"schema": 1, "stage": [stage], "products": {"report": False}}
    report = astroclean.run(pipeline, f"{path}[0]", output=tmp_path / "out", jobs=jobs)
    (record,) = report.files
    assert report.exit_code == 0
    assert len([text for text in record.contradictions if "DATASUM" in text]) == 1
