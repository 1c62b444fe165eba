"""Whole runs on files of many HDUs: only science is cleaned, and each frame has its own error."""

from __future__ import annotations

import bz2
import gzip
import lzma
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits

import astroclean
from astroclean.io.frames.read import read_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from astroclean.report.model import RunReport

pytestmark = pytest.mark.usefixtures("toys")

SHAPE = (40, 50)
SKY, HIT = 200.0, 5000.0
ERRORS = {"ERR", "RMS", "VAR", "SIGMA"}


def hits(seed: int = 1) -> np.ndarray:
    """Return where a frame is hit: some single pixels and a line."""
    where = np.zeros(SHAPE, dtype=bool)
    where.ravel()[np.random.default_rng(seed).choice(where.size, 25, replace=False)] = True
    where[seed + 3, 5:20] = True
    return where


def sky(seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(SKY, 5, SHAPE)
    return np.where(hits(seed), HIT, noise).astype("f4")


def filled(kind: str) -> np.ndarray:
    """Return a map that would change much if it were taken for an image."""
    values = np.where(hits(), 3, 2000)
    values[:, 30:] = 7000
    return values.astype(kind)


def image(name: str, data: np.ndarray, version: int | None = None) -> fits.ImageHDU:
    hdu = fits.ImageHDU(data)
    hdu.header["EXTNAME"] = name
    if version is not None:
        hdu.header["EXTVER"] = version
    hdu.header["BUNIT"] = "adu"
    return hdu


def run(folder: Path, *names: str, **tables: Any) -> RunReport:
    config = {
        "schema": 1,
        "instrument": {"name": "generic-ccd"},
        "stage": [{"plugin": "toy-bright"}, {"plugin": "toy-fill"}],
        "products": {"report": False},
        **tables,
    }
    report = astroclean.run(config, [str(folder / n) for n in names], output=folder / "out")
    assert [file.error for file in report.files] == [None] * len(report.files)
    return report


# EXTNAME and type of the HDUs beside the science HDU of each file; error comes first.
FILES: dict[str, list[tuple[str, str]]] = {
    "miri": [("ERR", "f4"), ("VAR_POISSON", "f4"), ("VAR_RNOISE", "f4"), ("AREA", "f4")],
    "euclid": [("1-1.E.RMS", "f4")],
    "nicmos": [("ERR", "f4"), ("SAMP", "i2"), ("TIME", "f4")],
    "hrc": [("WHT", "f4"), ("CTX", "i4")],
    "niri": [("VAR", "f4"), ("SKYFIT", "f4"), ("OBJMASK", "u1")],
    "models": [("SIGMA", "f4"), ("MODEL", "f4"), ("RESIDUAL", "f4"), ("PSF", "f4")],
    "integers": [("ERR", "f4"), ("NUMBERS", "i4"), ("SEGMENTATION", "i4"), ("EXP_TIME", "i2")],
}


@pytest.mark.parametrize("kind", FILES)
def test_only_science_is_cleaned(kind: str, tmp_path: Path) -> None:
    science = "1-1.E.SCI" if kind == "euclid" else "SCI"
    hdus = [fits.PrimaryHDU(), image(science, sky(), 1)]
    hdus += [image(name, filled(dtype), 1) for name, dtype in FILES[kind]]
    fits.HDUList(hdus).writeto(tmp_path / "x.fits")
    (file,) = run(tmp_path, "x.fits").files
    (frame,) = file.frames
    assert frame.hdu.startswith(science)
    where = hits()
    with (
        fits.open(tmp_path / "x.fits") as before,
        fits.open(tmp_path / "out/x_clean.fits") as after,
    ):
        changed = after[1].data != before[1].data
        np.testing.assert_array_equal(changed, where)
        assert abs(after[1].data[where] - SKY).max() < 5
        for old, new in list(zip(before, after, strict=False))[2:]:
            if {*old.name.split(".")} & ERRORS:
                # The error of what was filled is not known, and of nothing else.
                np.testing.assert_array_equal(np.isnan(new.data), where)
                np.testing.assert_array_equal(new.data[~where], old.data[~where])
            else:
                assert new.header.tostring() == old.header.tostring()
                assert new.data.dtype == old.data.dtype
                np.testing.assert_array_equal(new.data, old.data)
                companions = {"WHT"}
                assert (old.name in companions) != (f"[{old.name},1]" in file.skipped_hdus)


def triples(order: str, version: bool) -> tuple[list[Any], list[int]]:
    """Return HDUs of two detectors and the places of SCI, ERR, DQ of each."""
    kinds = {"s": "SCI", "e": "ERR", "d": "DQ"}
    times: dict[str, int] = {}
    hdus: list[Any] = [fits.PrimaryHDU()]
    for letter in order:
        number = times[letter] = times.get(letter, 0) + 1
        bad = np.zeros(SHAPE, "i2")
        bad[20:30, 20:40] = number - 1
        made = {"s": sky(number), "e": np.full(SHAPE, 15 + 85 * (number - 1), "f4"), "d": bad}
        hdus.append(image(kinds[letter], made[letter], number if version else None))
    return hdus, [i for i, letter in enumerate(order, 1) if letter == "s"]


@pytest.mark.parametrize("version", [False, True])
@pytest.mark.parametrize("order", ["sedsed", "ssedde", "ssddee", "sdesed"])
def test_each_detector_has_its_own_error_and_mask(
    order: str, version: bool, tmp_path: Path
) -> None:
    hdus, science = triples(order, version)
    errors = [i for i, letter in enumerate(order, 1) if letter == "e"]
    fits.HDUList(hdus).writeto(tmp_path / "x.fits")
    report = run(tmp_path, "x.fits")
    first, second = report.files[0].frames
    assert first.flagged_before == {}
    assert second.flagged_before == {"BAD_PIXEL": 200}
    labels = ["SCI,1", "SCI,2"] if version else [str(i) for i in science]
    assert [f.hdu for f in (first, second)] == labels
    with fits.open(tmp_path / "out" / "x_clean.fits") as out:
        for number, (place, error) in enumerate(zip(science, errors, strict=True), 1):
            flags = out["FLAGS", number]
            assert flags.header["ACSCI"] == labels[number - 1]
            changed = out[place].data != hdus[place].data
            assert changed[hits(number)].all()
            np.testing.assert_array_equal(np.isnan(out[error].data), changed)
            assert (out[error].data[~changed] == 15 + 85 * (number - 1)).all()
            assert ((flags.data != 0) & hits(number)).sum() == hits(number).sum()
    told = any("EXTVER" in note for note in report.files[0].notes)
    assert told is (not version)


def test_a_cleaned_file_without_extver_is_read_again_with_its_flags(tmp_path: Path) -> None:
    hdus, (one, two) = triples("sedsed", version=False)
    fits.HDUList(hdus).writeto(tmp_path / "x.fits")
    run(tmp_path, "x.fits")
    for number, place in enumerate((one, two), 1):
        frame = read_frame(f"{tmp_path / 'out' / 'x_clean.fits'}[{place}]")
        assert frame.where("COSMIC_RAY")[hits(number)].all()


PACKERS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    ".fits.bz2": (bz2.compress, bz2.decompress),
    ".fit.bz2": (bz2.compress, bz2.decompress),
    ".fits.gz": (gzip.compress, gzip.decompress),
    ".fit.gz": (gzip.compress, gzip.decompress),
    ".FITS.GZ": (gzip.compress, gzip.decompress),
    ".ftz": (gzip.compress, gzip.decompress),
    ".FTZ": (gzip.compress, gzip.decompress),
    ".fts.xz": (lzma.compress, lzma.decompress),
    ".fts": (bytes, bytes),
    ".FIT": (bytes, bytes),
}


@pytest.fixture
def plain(tmp_path: Path) -> bytes:
    """Bytes of a file, and beside it what a run makes of it."""
    hdus, _ = triples("sedsed", version=True)
    fits.HDUList(hdus).writeto(tmp_path / "x.fits")
    run(tmp_path, "x.fits")
    return (tmp_path / "x.fits").read_bytes()


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_packed_file_is_written_in_kind(suffix: str, plain: bytes, tmp_path: Path) -> None:
    pack, unpack = PACKERS[suffix]
    expected = (tmp_path / "out" / "x_clean.fits").read_bytes()
    folder = tmp_path / "packed"
    folder.mkdir()
    (folder / f"x{suffix}").write_bytes(pack(plain))
    written = []
    for _ in range(2):
        # A folder: the file must be looked for under this suffix.
        config = {"schema": 1, "stage": [{"plugin": "toy-bright"}, {"plugin": "toy-fill"}]}
        config["products"] = {"report": False}
        config["instrument"] = {"name": "generic-ccd"}
        astroclean.run(config, [str(folder)], output=folder / "out")
        target = folder / "out" / f"x_clean{suffix}"
        written.append(target.read_bytes())
        assert unpack(written[-1]) == expected
        target.unlink()
    assert written[0] == written[1]


@pytest.mark.parametrize("suffix", [".fits.bz2", ".fts.xz", ".ftz"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_damaged_packing_is_told_by_its_name(
    suffix: str, damage: str, plain: bytes, tmp_path: Path
) -> None:
    packed = bytearray(PACKERS[suffix][0](plain))
    if damage == "cut":
        packed = packed[: len(packed) // 2]
    else:
        packed[len(packed) // 2] ^= 0xFF
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(packed)
    with pytest.raises(astroclean.errors.FitsReadError, match=r"damaged (gzip|bzip2|xz) data") as e:
        read_frame(f"{path}[SCI,1]")
    assert str(path) in str(e.value)


@pytest.mark.parametrize("shape", [(1, 3, *SHAPE), (3, 1, *SHAPE), (1, 1, *SHAPE)])
@pytest.mark.parametrize("suffix", [".fits", ".fits.fz", ".fits.bz2"])
def test_a_radio_cube_keeps_its_axes(shape: tuple[int, ...], suffix: str, tmp_path: Path) -> None:
    planes = max(shape[:2])
    data = np.stack([sky(n) for n in range(1, planes + 1)]).reshape(shape)
    path = tmp_path / f"x{suffix}"
    if suffix == ".fits.fz":
        packed = fits.CompImageHDU(data, compression_type="GZIP_2", quantize_level=0)
        fits.HDUList([fits.PrimaryHDU(), packed]).writeto(path)
    else:
        fits.PrimaryHDU(data).writeto(path)
    (file,) = run(tmp_path, path.name).files
    assert len(file.frames) == planes
    with fits.open(tmp_path / "out" / f"x_clean{suffix}") as out:
        after = out[1 if suffix == ".fits.fz" else 0].data
        assert after.shape == out["FLAGS"].data.shape == shape
        changed = (after != data).reshape(-1, *SHAPE)
        flagged = (out["FLAGS"].data != 0).reshape(-1, *SHAPE)
    for number in range(1, planes + 1):
        np.testing.assert_array_equal(changed[number - 1], hits(number))
        np.testing.assert_array_equal(flagged[number - 1], hits(number))
