"""One classical pipeline over files as observatories deliver them."""

from __future__ import annotations

import fcntl
import gzip
import io
import json
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS
from toy_runs import digests, report_of, unfinished, write_pipeline

from astroclean.core.flags.planes import MaskPlane

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "kpno09m_a671_r_1200s.fits.fz": 1,
    "hst_wfpc2_ngc4151_cr_c0f.fits.gz": 4,
    "hst_stis_m33_pair_top_flt.fits.gz": 2,
    "decam_dq_cutouts_a.fits.gz": 5,
    "saao_ste3_rf0420_raw.fits": 1,
    "herschel_pacs100_ngc5584.fits.gz": 1,
}
"""Name to number of frames."""
HERSCHEL = "herschel_pacs100_ngc5584.fits.gz"
UNCERTAINTIES = ("ERR", "WT")
WCS_CARDS = ("CTYPE", "CRVAL", "CRPIX", "CD1_", "CD2_", "CDELT", "CUNIT", "PC", "PV", "A_", "B_")

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Cleaned:
    """What became of one file."""

    before: Path
    after: Path
    record: dict[str, Any]

    @property
    def stem(self) -> str:
        return self.before.name.split(".fits")[0]

    def science(self) -> list[tuple[str, Any, Any, Any]]:
        """Return (label, HDU before, HDU after, FLAGS) of each science HDU."""
        old, new = read(self.before), read(self.after)
        found = []
        for hdu in new:
            if hdu.name == "FLAGS":
                label = hdu.header["ACSCI"]
                name, _, version = label.partition(",")
                key: Any = (name, int(version)) if version else int(name)
                found.append((label, old[key], new[key], hdu))
        return found


def read(path: Path) -> Any:
    """Return all HDUs, in memory; oddities of old headers are not the matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hdus = fits.open(path, memmap=False)
        hdus.readall()
        for hdu in hdus:
            _ = hdu.data
        hdus.close()
    return hdus


def celestial(header: Any) -> WCS | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wcs = WCS(header, naxis=2)
    return wcs if wcs.has_celestial else None


@pytest.fixture(scope="session")
def out(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which all files have been cleaned, by one run for all test processes."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with (folder / "real.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "real").is_dir():
            clean_all(real_data, folder)
    return folder / "real"


def clean_all(real_data: Path, folder: Path) -> None:
    stages = ("lacosmic", "saturation", "interpolate", "sep")
    pipeline = write_pipeline(folder / "real.toml", *stages)
    text = pipeline.read_text("utf-8").replace('instrument = "generic-ccd"\n', "")
    pipeline.write_text(text, "utf-8")
    words = ["run", str(pipeline), *(str(real_data / name) for name in FILES)]
    words += ["-o", str(folder / "real"), "-j", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "astroclean", *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(params=FILES)
def cleaned(request: pytest.FixtureRequest, out: Path, real_data: Path) -> Cleaned:
    before = real_data / request.param
    (record,) = [f for f in report_of(out)["files"] if f["input"] == str(before)]
    stem, _, suffix = before.name.partition(".fits")
    return Cleaned(before, out / f"{stem}_clean.fits{suffix}", record)


def test_all_is_written(out: Path) -> None:
    stems = {name.split(".fits")[0] for name in FILES}
    assert {name.rsplit("_", 1)[0] for name in digests(out)} == stems
    assert len(digests(out)) == 3 * len(FILES)
    assert unfinished(out) == []
    assert json.loads((out / "run.json").read_text("utf-8"))["exit_code"] == 0


def test_only_flagged_pixels_changed(cleaned: Cleaned) -> None:
    filled = np.uint32(MaskPlane.INTERPOLATED)
    found = 0
    for label, old, new, flags in cleaned.science():
        equal = (old.data == new.data) | (np.isnan(old.data) & np.isnan(new.data))
        np.testing.assert_array_equal((flags.data & filled) != 0, ~equal, err_msg=label)
        assert np.isfinite(new.data[~equal]).all()
        found += np.count_nonzero(~equal)
    assert found > 0
    assert found == sum(frame["pixels_changed"] for frame in cleaned.record["frames"])
    assert len(cleaned.record["frames"]) == FILES[cleaned.before.name]


def test_everything_else_is_kept(cleaned: Cleaned) -> None:
    """Other HDUs are the same bytes, but for the uncertainty of filled pixels: NaN."""
    science = {label for label, *_ in cleaned.science()}
    old, new = stored(cleaned.before), stored(cleaned.after)
    assert [name for name, _ in new][: len(old)] == [name for name, _ in old]
    for index, ((name, before), (_, after)) in enumerate(zip(old, new, strict=False)):
        if name in science or str(index) in science:
            continue
        if name.split(",")[0] in UNCERTAINTIES:
            mine, theirs = (read(path)[index] for path in (cleaned.before, cleaned.after))
            assert mine.header.tostring() == theirs.header.tostring()
            # Of a filled pixel nothing is known; as a weight that is zero.
            unknown = np.isnan(theirs.data) | (theirs.data == 0)
            assert ((mine.data == theirs.data) | unknown).all()
        else:
            assert before == after, name


def stored(path: Path) -> list[tuple[str, bytes]]:
    """Return (label, bytes) of each HDU as it is stored, unpacked if the whole file is packed."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(io.BytesIO(content), disable_image_compression=True) as hdus:
            for hdu in hdus:
                place = hdu.fileinfo()
                part = content[place["hdrLoc"] : place["datLoc"] + place["datSpan"]]
                name = str(hdu.header.get("EXTNAME", "")).strip().upper()
                found.append((f"{name},{hdu.ver}", part))
    return found


def test_world_coordinates_are_the_same(cleaned: Cleaned) -> None:
    for _, old, new, flags in cleaned.science():
        cards = [card for card in old.header.cards if card.keyword.startswith(WCS_CARDS)]
        for card in cards:
            assert new.header[card.keyword] == card.value
        wcs = celestial(old.header)
        if wcs is None:
            continue
        ny, nx = old.shape[-2:]
        corners = [0, nx - 1, 0, nx - 1], [0, 0, ny - 1, ny - 1]
        for header in (new.header, flags.header):
            theirs = celestial(header)
            assert theirs is not None
            apart = wcs.pixel_to_world(*corners).separation(theirs.pixel_to_world(*corners))
            assert apart.max() < 1e-6 * u.arcsec


def test_catalogue(cleaned: Cleaned, out: Path) -> None:
    table = QTable.read(out / f"{cleaned.stem}_sources.ecsv")
    assert len(table) == sum(frame["sources"] for frame in cleaned.record["frames"])
    assert len(table) > 5
    unit = u.Unit(cleaned.record["frames"][0]["unit"])
    # Light of a pixel times its area is flux.
    assert table["flux"].unit in {unit, unit * u.pix, u.Jy}
    assert np.isfinite(table["flux"].value).any()
    as_fits = QTable.read(out / f"{cleaned.stem}_sources.fits")
    np.testing.assert_array_equal(as_fits["x"], table["x"])
    first = cleaned.science()[0][1]
    wcs = celestial(first.header)
    assert ("ra" in table.colnames) == (wcs is not None)
    if wcs is not None:
        assert (table["ra"].unit, table["dec"].unit) == (u.deg, u.deg)
        own = table[table["hdu"] == table["hdu"][0]]
        sky = wcs.pixel_to_world(np.asarray(own["x"]), np.asarray(own["y"])).icrs
        # The primary header may add its EQUINOX: FK5 and ICRS differ by 0.04 arcsec.
        np.testing.assert_allclose(own["ra"].value, sky.ra.deg, rtol=0, atol=3e-5)
        np.testing.assert_allclose(own["dec"].value, sky.dec.deg, rtol=0, atol=3e-5)


def test_cfitsio_reads_the_same_values(cleaned: Cleaned) -> None:
    fitsio = pytest.importorskip("fitsio")
    ours = read(cleaned.after)
    with fitsio.FITS(str(cleaned.after)) as theirs:
        assert len(theirs) == len(ours)
        for index, hdu in enumerate(ours):
            if not hdu.is_image or hdu.data is None:
                continue
            np.testing.assert_array_equal(theirs[index].read(), hdu.data)


def test_compression_is_kept(cleaned: Cleaned) -> None:
    start = {".fz": b"SIMPLE", ".gz": b"\x1f\x8b", ".fits": b"SIMPLE"}[cleaned.before.suffix]
    assert cleaned.after.read_bytes().startswith(start)
    if cleaned.before.suffix == ".fz":
        assert all(isinstance(new, fits.CompImageHDU) for _, _, new, _ in cleaned.science())


def test_coverage_edge_stays_empty(out: Path, real_data: Path) -> None:
    """Beyond the coverage nothing is made up; only narrow bays of its edge are filled."""
    from scipy.ndimage import distance_transform_edt

    after = out / HERSCHEL.replace(".fits", "_clean.fits")
    ((_, old, new, flags),) = Cleaned(real_data / HERSCHEL, after, {}).science()
    empty = np.isnan(old.data)
    beyond = distance_transform_edt(empty) > 16  # the default of `max_distance`
    assert beyond.mean() > 0.25
    assert np.isnan(new.data[beyond]).all()
    assert np.isnan(new.data[empty]).mean() > 0.999
    assert ((flags.data[empty] & np.uint32(MaskPlane.NO_DATA)) != 0).all()
    # What is measured is measured still.
    assert np.isfinite(new.data[~empty]).all()


def test_saturation_without_a_level_is_told(out: Path, real_data: Path) -> None:
    records = {f["input"]: f for f in report_of(out)["files"]}
    record = records[str(real_data / "saao_ste3_rf0420_raw.fits")]
    outcomes = {s["name"]: s["outcome"] for s in record["frames"][0]["stages"]}
    assert outcomes["saturation"] == "no work"
    assert "instrument.saturation" in " ".join(record["notes"])
