"""Fluxes of surface brightness: sums of pixels times their area, in the unit that this gives."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from astropy import units as u

from astroclean import Frame
from astroclean.core.image.detector import DETECTOR_KEYWORDS, Detector
from astroclean.core.image.fluxes import flux_scale
from astroclean.core.image.text_unit import TextUnit
from astroclean.errors import AstrocleanWarning

SCALE = DETECTOR_KEYWORDS["pixel_scale"]
PIXEL = math.radians(0.5 / 3600) ** 2  # sr, of 0.5 arcsec


def frame(unit: Any, **meta: Any) -> Frame:
    return Frame(np.ones((4, 5), np.float32), unit=unit, meta=meta, frame_id="a.fits[1]")


@pytest.mark.parametrize(
    ("unit", "meta", "factor", "expected"),
    [
        ("adu", {}, 1.0, u.adu),
        ("mag", {SCALE: 0.5}, 1.0, u.mag),
        ("mag / arcsec2", {SCALE: 0.5}, 1.0, u.mag / u.arcsec**2),
        ("electron / s", {SCALE: 0.5}, 1.0, u.electron / u.s),
        ("mJy / pix", {}, 1.0, u.mJy),
        ("", {SCALE: 0.5}, 1.0, u.dimensionless_unscaled),
        ("MJy / sr", {SCALE: 0.5}, 1e6 * PIXEL, u.Jy),
        ("uJy / arcsec2", {SCALE: 0.5}, 0.25e-6, u.Jy),
        ("Jy / beam", {SCALE: 0.5, "BMAJ": 2 / 3600, "BMIN": 1 / 3600}, 0.25 / 2.26618, u.Jy),
        ("mJy / beam", {SCALE: 1.0, "BMAJ": 2 / 3600, "BMIN": 2 / 3600}, 1 / 4.53236, u.mJy),
        ("erg / (s cm2 arcsec2)", {SCALE: 2.0}, 4.0, u.erg / u.s / u.cm**2),
        ("MJy / sr", {"PIXAR_SR": 9e-14}, 9e-8, u.Jy),
        ("MJy / sr", {SCALE: 0.5, "PIXAR_SR": 1.01 * PIXEL}, 1.01e6 * PIXEL, u.Jy),
        # A card that is left from before the frame was sampled anew.
        ("MJy / sr", {SCALE: 0.5, "PIXAR_SR": 4 * PIXEL}, 1e6 * PIXEL, u.Jy),
    ],
)
def test_what_a_sum_of_pixels_is(
    unit: str, meta: dict[str, float], factor: float, expected: u.UnitBase
) -> None:
    scale = flux_scale(frame(unit, **meta))
    assert scale.unit == expected
    assert scale.factor * scale.unit.to(expected) == pytest.approx(factor, rel=1e-5)


@pytest.mark.parametrize(
    ("unit", "meta", "why"),
    [
        ("MJy / sr", {}, "the pixel scale is not known"),
        ("Jy / beam", {SCALE: 0.5}, "no beam"),
        ("Jy / beam", {"BMAJ": 1e-3, "BMIN": 1e-3}, "the pixel scale is not known"),
        ("Jy / beam", {SCALE: 0.5, "BMAJ": 0.0, "BMIN": 1e-3}, "no beam"),
    ],
)
def test_where_the_area_is_not_known_the_unit_says_so(
    unit: str, meta: dict[str, float], why: str
) -> None:
    with pytest.warns(AstrocleanWarning, match=rf"a\.fits\[1\].*{why}"):
        scale = flux_scale(frame(unit, **meta))
    assert (scale.factor, scale.unit) == (1.0, u.Unit(unit) * u.pix)


def test_an_unknown_unit_stays() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert flux_scale(frame(TextUnit("furlong"))) == (1.0, TextUnit("furlong"))


def test_the_sum_of_a_known_source_is_its_flux() -> None:
    beam, scale = 6.0, 1.5  # arcsec
    y, x = np.mgrid[:61, :61] - 30.0
    sigma = beam / scale / 2.354820045
    image = 0.7 * np.exp(-(x**2 + y**2) / (2 * sigma**2))  # a point source of 0.7 Jy
    meta = {SCALE: scale, "BMAJ": beam / 3600, "BMIN": beam / 3600}
    found = flux_scale(Frame(image.astype("f4"), unit="Jy / beam", meta=meta))
    assert image.sum() * found.factor == pytest.approx(0.7, rel=1e-4)


def test_values_per_pixel_are_those_of_pixels() -> None:
    detector = Detector(gain=2.0, exposure=10.0)
    assert detector.scale(u.adu / u.s / u.pix) == 20.0
    assert detector.scale(u.electron / u.pix, u.adu) == 0.5
    assert detector.scale(u.Jy / u.pix) is None
    assert detector.scale(TextUnit("furlong")) is None
