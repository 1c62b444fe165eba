"""Bands on other pixels: one list of sources, through the sky."""

from __future__ import annotations

import numpy as np
import pytest

from astroclean.core.image.frame import Frame
from astroclean.core.image.frameset import FrameSet
from astroclean.core.psf.psf import Psf
from astroclean.registry.load import load_stage
from astroclean.simulate.band_grids import make_wcs

SOURCES = [(-19.0, 3.1), (-5.4, 4.6), (17.3, -18.2), (0.6, 21.0)]
"""Places from the middle of the field, in pixels of the fine grid."""


def _band(scale: float, side: int, fwhm: float, fluxes: list[float]) -> Frame:
    psf, every = Psf.gaussian(fwhm_pixels=fwhm), (slice(0, side), slice(0, side))
    image = np.random.default_rng(side).normal(0, 1, (side, side))
    for (x, y), flux in zip(SOURCES, fluxes, strict=True):
        place = ((side - 1) / 2 + 0.2 / scale * x, (side - 1) / 2 + 0.2 / scale * y)
        image += psf.drawn_at(*place, flux, box=every).data
    return Frame(image, unit="adu", psf=psf, wcs=make_wcs((side, side), scale))


def test_bands_on_other_pixels_are_measured_at_the_same_places_of_the_sky() -> None:
    true = {"fine": [3000.0, 2000.0, 2500.0, 1500.0], "coarse": [1500.0, 2500.0, 800.0, 3000.0]}
    field = FrameSet(
        {
            "fine": _band(0.2, 96, 3.0, true["fine"]),
            "coarse": _band(0.3, 64, 2.4, true["coarse"]),
        }
    )
    results = load_stage("pais").run_set(field)
    for band, (scale, side) in {"fine": (0.2, 96), "coarse": (0.3, 64)}.items():
        frame = results[band].frame
        assert frame.sources is not None
        table = frame.sources.table
        assert frame.sources.segmentation is not None
        assert frame.sources.segmentation.shape == (side, side)
        places = np.array(SOURCES) * 0.2 / scale + (side - 1) / 2
        for (x, y), flux in zip(places, true[band], strict=True):
            away = np.hypot(np.asarray(table["x"]) - x, np.asarray(table["y"]) - y)
            assert away.min() < 0.3
            for column in ("flux", f"flux_{band}"):
                assert table[column][away.argmin()].value == pytest.approx(flux, rel=0.08)
