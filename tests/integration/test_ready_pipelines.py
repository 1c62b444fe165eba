"""Every pipeline in configs/pipelines does on simulated frames what its comment says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fitsio
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from scipy.ndimage import binary_erosion

import astroclean
from astroclean.config.load import load_pipeline
from astroclean.core.configs import list_configs
from astroclean.runner.masters import MasterRequest, make_masters
from astroclean.simulate.exposure import simulate_exposure, write_exposure
from astroclean.simulate.raw_night import write_night
from astroclean.testing.frames import synthetic_frame

if TYPE_CHECKING:
    from pathlib import Path

CR = int(astroclean.MaskPlane.COSMIC_RAY)
SATURATED = int(astroclean.MaskPlane.SATURATED)


def test_every_ready_pipeline_is_valid_and_has_a_description() -> None:
    names = list_configs("pipelines")
    assert {"demo", "ccd", "deblend", "masks", "hst", "sharpen", "far-infrared", "raw-ccd"} <= set(
        names
    )
    for name in names:
        assert load_pipeline(name, environment={}).config.description


@pytest.fixture
def ccd(tmp_path: Path) -> Path:
    path = tmp_path / "raw.fits"
    write_exposure(path, seed=5, shape=(256, 256))
    return path


def _clean(folder: Path, name: str) -> fits.HDUList:
    return fits.open(folder / name)


def test_ccd_pipeline_fills_what_is_wrong(ccd: Path, tmp_path: Path) -> None:
    truth = simulate_exposure(seed=5, shape=(256, 256))
    report = astroclean.run("ccd", ccd, output=tmp_path / "out")
    assert report.exit_code == 0
    with _clean(tmp_path / "out", "raw_clean.fits") as hdus:
        cleaned, flags = hdus[0].data.astype(float), hdus["FLAGS"].data
    hit = (truth.truth & CR) != 0
    found = (flags != 0) & hit
    assert found.sum() > 0.95 * hit.sum()
    before = np.abs(truth.data[hit] - truth.clean[hit])
    after = np.abs(cleaned[hit] - truth.clean[hit])
    assert np.median(after) < 0.05 * np.median(before)
    untouched = (flags & int(astroclean.MaskPlane.INTERPOLATED)) == 0
    assert np.array_equal(cleaned[untouched], truth.data[untouched].astype(float))


@pytest.mark.slow
def test_raw_ccd_pipeline_gives_the_sky_in_electrons(tmp_path: Path) -> None:
    (chip,) = write_night(tmp_path / "raw", seed=7, shape=(150, 170), count=5)
    list(make_masters(MasterRequest([str(tmp_path / "raw")], tmp_path / "masters")))
    pipeline = tmp_path / "raw-ccd.toml"
    pipeline.write_bytes(list_configs("pipelines")["raw-ccd"].read_bytes())
    fields = [tmp_path / "raw" / f"field_{name}.fits" for name in "RB"]
    report = astroclean.run(pipeline, fields, output=tmp_path / "out", jobs=0)
    assert [(file.status, file.suspect) for file in report.files] == [("done", [])] * 2
    for name in "RB":
        with _clean(tmp_path / "out", f"field_{name}_clean.fits") as hdus:
            image, flags = hdus[0].data.astype(float), hdus["FLAGS"].data
            pulls = (image - chip.sky(name)) / hdus["UNCERT"].data
            assert hdus[0].header["BUNIT"] == "electron"
            assert hdus[0].header["CRPIX1"] == 85
            assert hdus[0].header["FLATCOR"] == f"flat_{name}.fits[SCI,1]"
        planes = SATURATED | int(astroclean.MaskPlane.INTERPOLATED)
        good = (flags & planes) == 0
        assert good.mean() > 0.98
        assert 1.4826 * np.median(np.abs(pulls[good])) == pytest.approx(1, abs=0.05)
        filled = (flags[:, chip.bad_column] & int(astroclean.MaskPlane.INTERPOLATED)) != 0
        assert filled.mean() > 0.9
        full = chip.saturated(chip.light(1, name))
        assert (flags[full] & SATURATED).all()
    sources = Table.read(tmp_path / "out" / "field_R_sources.ecsv")
    assert len(sources) > 20
    again = astroclean.run(pipeline, fields, output=tmp_path / "out", jobs=0)
    assert [file.status for file in again.files] == ["up to date"] * 2
    with fits.open(tmp_path / "masters" / "flat_R.fits", mode="update") as hdus:
        hdus[1].header["NOTE"] = "another content"
    again = astroclean.run(pipeline, fields, output=tmp_path / "out", jobs=0)
    assert [file.status for file in again.files] == ["done"] * 2


@pytest.mark.parametrize("name", ["kpno09m_a671_r_1200s.fits.fz", "kpno_m51_b.fits.gz"])
def test_raw_ccd_pipeline_refuses_calibrated_frames(
    name: str, real_data: Path, tmp_path: Path
) -> None:
    pipeline = {"schema": 1, "stage": [{"plugin": "saturation"}, {"plugin": "ccdproc"}]}
    report = astroclean.run(pipeline, real_data / name, output=tmp_path / "out", jobs=0)
    assert report.exit_code == 1
    assert "was calibrated before" in str(report.files[0].error)
    assert not list((tmp_path / "out").glob("*.f*ts*"))


def test_masks_pipeline_leaves_science_bytes_alone(ccd: Path, tmp_path: Path) -> None:
    report = astroclean.run(
        "masks", ccd, output=tmp_path / "out", settings=["products.mask_as=jwst"]
    )
    assert report.exit_code == 0
    original = ccd.read_bytes()
    assert (tmp_path / "out" / "raw_clean.fits").read_bytes()[: len(original)] == original
    mask = fitsio.read(str(tmp_path / "out" / "raw_mask.fits"), ext="MASK")
    flags = fitsio.read(str(tmp_path / "out" / "raw_clean.fits"), ext="FLAGS")
    assert np.array_equal((mask & 4) != 0, (flags & CR) != 0)
    assert ((mask & 1) != 0)[mask != 0].all()


def test_sharpen_pipeline_writes_a_narrower_image_beside_the_science(
    ccd: Path, tmp_path: Path
) -> None:
    report = astroclean.run("sharpen", ccd, output=tmp_path / "out")
    assert report.exit_code == 0, report.files[0].error
    frame = report.files[0].frames[0]
    metrics = frame.stages[-1].metrics
    assert metrics["fwhm after (pixels)"] < 0.8 * metrics["fwhm before (pixels)"]
    assert "estimated from" in frame.psf
    with _clean(tmp_path / "out", "raw_clean.fits") as hdus:
        # The saturated star stays rejected: it is neither filled nor sharpened.
        far = binary_erosion((hdus["FLAGS"].data & SATURATED) == 0, iterations=25)
        assert far.mean() > 0.5
        before, after = (hdus[name].data[far].sum(dtype=float) for name in (0, "DECONV"))
        assert after / before == pytest.approx(1, abs=0.01)
        assert hdus["DECONV"].data[far].max() > 1.2 * hdus[0].data[far].max()
        assert hdus["DECONV"].header["ACSCI"] == "0"
        assert not np.array_equal(hdus["DECONV"].data, hdus[0].data)


def test_hst_pipeline_joins_the_dq_and_fills_only_what_has_a_cause(tmp_path: Path) -> None:
    frame = synthetic_frame(seed=11, shape=(200, 220), flagged=False)
    dq = np.zeros(frame.shape, dtype=np.int16)
    dq[50, 60], dq[70, 80], dq[90, 100] = 16, 512, 8192
    primary = fits.PrimaryHDU()
    primary.header.update(TELESCOP="HST", INSTRUME="STIS", DETECTOR="CCD", ATODGAIN=1.5)
    primary.header["READNSE"] = 5.0
    data = np.nan_to_num(frame.data, nan=520.0)
    images = [("SCI", data), ("ERR", frame.uncertainty.array), ("DQ", dq)]
    hdus = [fits.ImageHDU(image, name=name, ver=1) for name, image in images]
    hdus[0].header["BUNIT"] = "COUNTS"
    fits.HDUList([primary, *hdus]).writeto(tmp_path / "o_flt.fits")
    report = astroclean.run("hst", tmp_path / "o_flt.fits", output=tmp_path / "out")
    assert report.files[0].instrument == "hst-stis"
    with _clean(tmp_path / "out", "o_flt_clean.fits") as found:
        flags, after = found["FLAGS"].data, found["SCI", 1].data
        assert np.array_equal(found["DQ", 1].data, dq)
        assert flags[70, 80] & int(astroclean.MaskPlane.BAD_PIXEL)
        assert after[70, 80] == data[70, 80]
        for y, x in ((50, 60), (90, 100)):
            assert flags[y, x] & int(astroclean.MaskPlane.INTERPOLATED)
            assert np.isnan(found["ERR", 1].data[y, x])


def test_far_infrared_pipeline_finds_sources_with_the_instruments_beam(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:200, :200]
    sigma = 18.1 / 6 / 2.3548
    data = 1e-3 * rng.normal(size=(200, 200)) + 2e-3 * np.sin(x / 40) * np.cos(y / 50)
    for py, px in ((40, 50), (120, 130), (160, 60)):
        data += 0.05 * np.exp(-((y - py) ** 2 + (x - px) ** 2) / (2 * sigma**2))
    data[:10] = np.nan
    header = fits.Header()
    header.update(TELESCOP="Herschel", INSTRUME="SPIRE", DETECTOR="PSW", BUNIT="Jy/pix")
    header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.0, CRVAL2=5.0)
    header.update(CRPIX1=100.0, CRPIX2=100.0, CDELT1=-6 / 3600, CDELT2=6 / 3600)
    fits.PrimaryHDU(data.astype(np.float32), header).writeto(tmp_path / "map.fits")
    report = astroclean.run("far-infrared", tmp_path / "map.fits", output=tmp_path / "out")
    assert report.exit_code == 0, report.files[0].error
    assert report.files[0].instrument == "herschel-spire"
    assert "18.1 arcsec" in report.files[0].frames[0].psf
    catalog = Table.read(tmp_path / "out" / "map_sources.ecsv")
    for py, px in ((40, 50), (120, 130), (160, 60)):
        assert np.hypot(catalog["x"] - px, catalog["y"] - py).min() < 0.5
    assert str(catalog["ra"].unit) == "deg"
    with _clean(tmp_path / "out", "map_clean.fits") as hdus:
        assert np.isnan(hdus[0].data[:10]).all()
        assert np.isfinite(hdus["DECONV"].data[20:]).all()
