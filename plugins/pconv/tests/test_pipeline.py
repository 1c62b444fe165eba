"""The ready pipeline, from files to files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from astroclean.cli.main import main
from astroclean.core.flags.planes import MaskPlane
from astroclean.simulate.cirrus import CirrusConfig, simulate_cirrus

if TYPE_CHECKING:
    from pathlib import Path

BRIGHT = CirrusConfig(faintest=(40.0, 60.0), sources=(80.0, 80.0))


@pytest.mark.parametrize("mode", ["inpaint", "separate"])
def test_a_map_is_split_into_emission_and_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.chdir(tmp_path)
    scene = simulate_cirrus(seed=6, shape=(128, 128), config=BRIGHT)
    assert scene.frame.psf is not None
    fits.PrimaryHDU(scene.frame.data, fits.Header({"BUNIT": "mJy/pixel"})).writeto("map.fits")
    true = scene.sources.table
    QTable({"x": true["x"], "y": true["y"]}).write("sources.csv")
    # No header tells how wide the PSF is: the pipeline does, in either mode.
    settings = {
        "psf.fwhm": f"{scene.frame.psf.fwhm_pixels:.2f} pixel",
        "pconv.catalog": "sources.csv",
        "pconv.mode": mode,
    }
    words = [word for pair in settings.items() for word in ("--set", "=".join(pair))]
    assert main(["run", "compact-sources", "map.fits", "-o", "out", *words]) == 0
    with fits.open("out/map_clean.fits") as hdus:
        clean, removed = hdus[0].data, hdus["REMOVED"].data
        changed = hdus["FLAGS"].data & np.uint32(MaskPlane.REMOVED) != 0
        deviation = hdus["UNCERT"].data
    np.testing.assert_allclose(clean + removed, scene.frame.data, rtol=1e-5)
    np.testing.assert_array_equal(clean[~changed], scene.frame.data[~changed])
    assert 0 < changed.mean() < 0.5
    assert (deviation[changed] > 0).all()
    found = QTable.read("out/map_sources.ecsv")
    np.testing.assert_array_equal(found["id"], np.arange(1, len(true) + 1))
    assert found["flux"].unit.is_equivalent("mJy")
    alone = (found["quality"] == 0) & (found["snr"] > 8)
    assert alone.any()
    ratio = found["flux"][alone].value / true["flux"][alone].value
    # The Gaussian that the pipeline takes has neither lobes nor halo, a third of the light. What is
    # summed in the holes has them; what is fitted is the Gaussian.
    expected = {"inpaint": 1.0, "separate": 0.68}[mode]
    assert np.median(ratio) == pytest.approx(expected, abs=0.2)
