"""The ready pipeline, from files to files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits

from astroclean.cli.main import main
from astroclean.core.psf.psf import Psf
from astroclean.core.sources.sources import Sources

if TYPE_CHECKING:
    from pathlib import Path

FWHM, SKY = 3.0, 12.0
# Stars that stand alone, of which the PSF is made; and a blend, 5.4 pixels apart.
ALONE = [(25.3, 25.1), (25.8, 130.4), (130.2, 25.6), (131.0, 128.7), (24.6, 78.2), (79.4, 131.9)]
BLEND = [(79.7, 78.2), (84.3, 81.1)]
LIGHT = [*[5000.0] * len(ALONE), 3000.0, 1800.0]


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Return stars on a sky, with noise 1."""
    psf = Psf.gaussian(fwhm_pixels=FWHM)
    light = np.random.default_rng(5).normal(SKY, 1.0, (160, 160))
    every = (slice(0, 160), slice(0, 160))
    for (x, y), flux in zip([*ALONE, *BLEND], LIGHT, strict=True):
        light += psf.drawn_at(x, y, flux, box=every).data
    return light.astype(np.float32)


@pytest.mark.parametrize("psf", ["its own stars", "told"])
def test_a_field_is_shared_out_among_its_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: np.ndarray, psf: str
) -> None:
    monkeypatch.chdir(tmp_path)
    fits.PrimaryHDU(image, fits.Header({"BUNIT": "adu"})).writeto("field.fits")
    told = ["--set", f"psf.fwhm={FWHM} pixel"] if psf == "told" else []
    assert main(["run", "deblend", "field.fits", "-o", "out", *told]) == 0
    found = Sources.read(
        "out/field_sources.fits",
        stamps="out/field_stamps.fits",
        segmentation="out/field_clean.fits",
    )
    table = found.table
    for (x, y), flux in zip([*ALONE, *BLEND], LIGHT, strict=True):
        away = np.hypot(table["x"].value - x, table["y"].value - y)
        assert away.min() < 0.3
        assert table["flux"][away.argmin()].value == pytest.approx(flux, rel=0.08)
    with fits.open("out/field_clean.fits") as hdus:
        np.testing.assert_array_equal(hdus[0].data, image)
        shared = hdus["UNASSIGNED"].data.astype(np.float64)
        models, left = np.zeros(image.shape), hdus["UNASSIGNED"].data
        for stamp in found.stamps:
            on_image, of_box = stamp.overlap(image.shape)
            assert stamp.share is not None
            shared[on_image] += stamp.share[of_box]
            models[on_image] += stamp.data[of_box]
        np.testing.assert_allclose(shared, image, atol=1e-4)
        np.testing.assert_allclose(hdus["MODEL"].data, models, atol=1e-3)
    # Where no source lights the pixels, all is left: sky and noise.
    assert np.median(left) == pytest.approx(SKY, abs=0.1)
