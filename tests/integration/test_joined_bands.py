"""Bands of one sky that a super-resolver takes together: one image beside the first band."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS
from toy_runs import digests, hdu_names, run, write_fits, write_pipeline

from astroclean.core.image.frame import Frame
from astroclean.core.sources.sources import Sources

pytestmark = pytest.mark.usefixtures("toys")

SHAPES = {"a": (24, 30), "b": (17, 21), "c": (12, 15)}
SCALES = {"a": 6.0, "b": 8.5, "c": 12.0}
BANDS = {band: f"*_{band}.fits" for band in SHAPES}
PSF = {"fwhm": "18 arcsec"}


def write_bands(folder: Path) -> dict[str, np.ndarray]:
    """Write three maps of the same sky on pixels of three sizes."""
    images = {}
    for number, (band, shape) in enumerate(SHAPES.items(), start=1):
        scale = SCALES[band] / 3600
        images[band] = np.full(shape, number, np.float32)
        images[band][3, 4] = 100
        cards: dict[str, Any] = {
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CRVAL1": 150.0,
            "CRVAL2": 2.0,
            "CRPIX1": (shape[1] + 1) / 2,
            "CRPIX2": (shape[0] + 1) / 2,
            "CDELT1": -scale,
            "CDELT2": scale,
            "BUNIT": "mJy/beam",
            "PIXSCALE": SCALES[band],
        }
        write_fits(folder / f"m_{band}.fits", images[band], **cards)
    return images


def test_one_image_of_bands_on_several_grids_lies_beside_the_first(tmp_path: Path) -> None:
    images = write_bands(tmp_path)
    names = [f"m_{band}.fits" for band in "cab"]
    keep = ["sources", "flags"]
    report = run(tmp_path, "toy-blend", inputs=names, bands=BANDS, psf=PSF, products={"keep": keep})
    assert [file.error for file in report.files] == [None] * 3
    out = tmp_path / "out"
    with fits.open(out / "m_a_clean.fits") as hdus, fits.open(tmp_path / "m_a.fits") as before:
        np.testing.assert_array_equal(hdus[0].data, images["a"])
        made = hdus["SUPERRES"]
        assert made.shape == hdus["SUPPORT"].shape == hdus["SUPERRES_UNCERT"].shape == (55, 70)
        wanted = sum(float(np.mean(image, dtype=np.float32)) for image in images.values())
        np.testing.assert_allclose(made.data, wanted, rtol=1e-6)
        assert made.header["BUNIT"] == "mJy / beam"
        assert made.header["ACSTEP"] == 0.4
        assert (made.header["ACORIG1"], made.header["ACORIG2"]) == (1, 1)
        assert made.header["BMAJ"] * 3600 == pytest.approx(8 * 0.4 * 6, rel=0.01)
        assert made.header["BMIN"] == made.header["BMAJ"]
        assert "BMAJ" not in hdus["SUPPORT"].header
        assert "BMAJ" not in hdus["FLAGS"].header
        corners = [
            WCS(header).pixel_to_world(place, place)
            for header, place in ((made.header, -0.5), (before[0].header, 0.5))
        ]
        assert corners[0].separation(corners[1]).arcsec < 1e-6
        assert any("toy-blend" in line for line in made.header["HISTORY"])
    for band in "bc":
        assert hdu_names(out / f"m_{band}_clean.fits") == ["PRIMARY", "FLAGS"]
        np.testing.assert_array_equal(fits.getdata(out / f"m_{band}_clean.fits"), images[band])
        assert not (out / f"m_{band}_sources.fits").exists()
    found = Sources.read(out / "m_a_sources.fits")
    assert len(found) == 1
    layer = Frame.read(f"{out / 'm_a_clean.fits'}[SUPERRES]")
    assert str(layer.unit) == "mJy / beam"


def test_report_tells_which_band_has_the_result(tmp_path: Path) -> None:
    write_bands(tmp_path)
    names = [f"m_{band}.fits" for band in "abc"]
    report = run(tmp_path, "toy-blend", inputs=names, bands=BANDS, psf=PSF)
    told = {Path(file.input).stem: file.frames[0] for file in report.files}
    outcomes = {name: frame.stages[0].outcome for name, frame in told.items()}
    assert outcomes == {"m_a": "done", "m_b": "no work", "m_c": "no work"}
    layers = {name: [layer.name for layer in frame.layers] for name, frame in told.items()}
    assert layers == {"m_a": ["SUPERRES", "SUPPORT"], "m_b": [], "m_c": []}


def test_what_is_said_of_the_psf_of_a_band_is_said_of_that_band_alone(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    write_bands(tmp_path)
    star = np.exp(-((np.mgrid[:31, :31] - 15) ** 2).sum(axis=0) / 8)
    for band, total in (("a", 1), ("b", 7), ("c", 1)):
        stamp = (total * star / star.sum()).astype(np.float32)
        write_fits(tmp_path / f"m_{band}_psf.fits", stamp, PIXELSCL=3.0)
    names = [f"m_{band}.fits" for band in "abc"]
    psf = {"file": f"{tmp_path}/{{stem}}_psf.fits"}
    report = run(tmp_path, "toy-blend", inputs=names, bands=BANDS, psf=psf)
    told = {Path(file.input).stem: file.notes for file in report.files}
    assert [len(told[f"m_{band}"]) for band in "abc"] == [0, 1, 0]
    assert "scaled from a sum of 7 to 1" in told["m_b"][0]
    # It is a note of the report, and no warning of Python beside it.
    assert [str(warning.message) for warning in recwarn] == []


def test_later_stages_get_the_finer_image_and_the_other_bands(tmp_path: Path) -> None:
    images = write_bands(tmp_path)
    names = [f"m_{band}.fits" for band in "abc"]
    keep = ["sources"]
    report = run(
        tmp_path,
        *("toy-blend", "toy-peaks"),
        inputs=names,
        bands=BANDS,
        psf=PSF,
        products={"keep": keep},
    )
    assert [file.error for file in report.files] == [None] * 3
    out = tmp_path / "out"
    assert list(QTable.read(out / "m_a_sources.ecsv")["hdu"]) == ["[SUPERRES,1]"]
    table = QTable.read(out / "m_b_sources.ecsv")
    assert list(table["hdu"]) == ["[0]"]
    assert table["flux"][0].value == np.nanmax(images["b"])


@pytest.mark.slow
def test_a_state_between_stages_keeps_which_band_is_finer(tmp_path: Path, cli: Any) -> None:
    write_bands(tmp_path)
    tables = "[psf]\nfwhm = '18 arcsec'\n[run]\nkeep_stages = true\n[bands]\n"
    tables += "".join(f"{band} = '{pattern}'\n" for band, pattern in BANDS.items())
    write_pipeline(tmp_path / "p.toml", "toy-blend", "toy-peaks", tables=tables)
    names = [f"m_{band}.fits" for band in "abc"]
    dry = cli("run", "p.toml", *names, "-o", "out", "--dry-run")
    assert dry.status == 0, dry.err
    assert not (tmp_path / "out").exists()
    assert cli("run", "p.toml", *names, "-o", "out").status == 0
    first = digests(tmp_path / "out")
    again = cli("run", "p.toml", *names, "-o", "out", "--from", "toy-peaks", "--overwrite")
    assert again.status == 0, again.err
    assert digests(tmp_path / "out") == first
