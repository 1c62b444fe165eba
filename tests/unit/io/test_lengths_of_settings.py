"""Widths and scales that a user sets, with their unit."""

from __future__ import annotations

import pytest
from astropy.io.fits import Header

from astroclean.errors import InstrumentError
from astroclean.io.frames.instruments import load_instrument
from astroclean.io.header.values import resolve_detector


def resolved(**settings: object) -> dict[str, object]:
    found = resolve_detector(load_instrument("generic-ccd"), Header(), settings, None)
    return {name: value.value for name, value in found.items()}


def test_a_length_takes_its_unit_and_a_bare_number_is_in_arcsec() -> None:
    assert resolved(psf_fwhm=0.9, pixel_scale=0.2)["psf_fwhm"] == 0.9
    assert resolved(pixel_scale="200 mas")["pixel_scale"] == pytest.approx(0.2)
    found = resolved(psf_fwhm="2 pixel", pixel_scale="0.3 arcsec")
    assert found["psf_fwhm"] == pytest.approx(0.6)

    assert resolved(read_noise=0)["read_noise"] == 0


def test_what_cannot_be_arcsec_is_told() -> None:
    for settings, problem in (
        ({"psf_fwhm": "2 pixel"}, r"psf_fwhm: is in pixels but the pixel scale .*not known"),
        ({"psf_fwhm": "2 m"}, r"psf_fwhm: must be in pixels or an angle"),
        ({"gain": "much"}, r"gain: must be a number"),
        ({"gain": "1.9"}, r"gain: must be a number"),
        ({"gain": True}, r"gain: must be a number"),
        ({"gain": float("nan")}, r"gain: must be a finite number"),
        ({"gain": 0}, r"gain: must be greater than 0 \(got 0\)"),
        ({"gain": -1}, r"gain: must be greater than 0"),
        ({"read_noise": -3}, r"read_noise: must be greater than or equal to 0"),
        ({"pixel_scale": -1}, r"pixel_scale: must be greater than 0"),
        ({"pixel_scale": "0 arcsec"}, r"pixel_scale: must be greater than 0"),
        ({"pixel_scale": "2 pixel"}, r'pixel_scale: must be an angle, such as "0.4 arcsec"'),
    ):
        with pytest.raises(InstrumentError, match=problem):
            resolved(**settings)
