"""Where units and detector values come from: setting, header, instrument, in this order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits

from astroclean.core.image.text_unit import TextUnit
from astroclean.errors import AstrocleanError, UnitError
from astroclean.io.frames.instruments import Instrument, ValueRule, load_instrument
from astroclean.io.frames.read import read_frame
from astroclean.io.header.values import frame_unit, frame_wcs, resolve_detector


def instrument(**values: ValueRule) -> Instrument:
    return Instrument(name="test", title="", source="", values=values)


def header(**cards: Any) -> fits.Header:
    made = fits.Header()
    made.update(cards)
    return made


def unit_of(told: str, **aliases: str) -> u.UnitBase:
    rule = ValueRule(keywords=("BUNIT",), aliases=aliases)
    return frame_unit(instrument(unit=rule), header(BUNIT=told), {}, where="a.fits")[0]


def detector(cards: dict[str, Any], **overrides: Any) -> dict[str, Any]:
    found = resolve_detector(load_instrument("generic-ccd"), header(**cards), overrides, None)
    return {name: resolved.value for name, resolved in found.items()}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("adu", u.adu),
        ("ADU", u.adu),
        ("counts", u.adu),
        ("electron", u.electron),
        ("e-/s", u.electron / u.s),
        ("MJy/sr", u.MJy / u.sr),
        ("MJY/SR", u.MJy / u.sr),
        ("JY/BEAM", u.Jy / u.beam),
        ("Jy/pix              / Unit of the map", u.Jy / u.pix),
        ("erg/s/cm^2/Angstrom", u.erg / u.s / u.cm**2 / u.AA),
        (" electron ", u.electron),
    ],
)
def test_units_are_understood_in_many_spellings(told: str, expected: u.UnitBase) -> None:
    generic = load_instrument("generic-ccd")
    unit, origin = frame_unit(generic, header(BUNIT=told), {}, where="a.fits")
    assert unit == expected
    assert origin == "header BUNIT"


def test_an_alias_of_the_instrument_comes_before_the_literal_meaning() -> None:
    assert unit_of("count") == u.adu
    assert unit_of("COUNT", count="electron") == u.electron
    assert unit_of(" Electrons / S ", **{"ELECTRONS/S": "adu"}) == u.adu


def test_a_setting_wins_over_the_header_and_the_header_over_the_default() -> None:
    rules = instrument(unit=ValueRule(keywords=("BUNIT",), default="adu"))
    told = header(BUNIT="electron")
    assert frame_unit(rules, told, {"unit": "Jy"}, where="")[0] == u.Jy
    assert frame_unit(rules, told, {}, where="")[0] == u.electron
    unit, origin = frame_unit(rules, header(), {}, where="")
    assert unit == u.adu
    assert "assumed" in origin


def test_no_unit_is_an_error_that_names_file_and_remedy() -> None:
    with pytest.raises(UnitError, match=r"a\.fits\[1\].*instrument\.unit=adu"):
        frame_unit(instrument(), header(), {}, where="a.fits[1]")


@pytest.mark.parametrize("told", ["furlong", "m/s/s/", "12 monkeys", "MJY/BEAM"])
def test_an_unknown_unit_of_a_header_is_kept_as_it_stands(told: str) -> None:
    unit = unit_of(f" {told} ")
    assert isinstance(unit, TextUnit)
    assert unit.to_string() == told
    assert unit != u.adu


def test_an_unknown_unit_that_is_set_is_an_error_that_quotes_it() -> None:
    with pytest.raises(UnitError, match=r"'furlong', setting instrument\.unit"):
        frame_unit(instrument(), header(BUNIT="adu"), {"unit": "furlong"}, where="a.fits")


def test_blank_keywords_count_as_absent() -> None:
    assert detector({"EGAIN": 2.0, "GAIN": "  "})["gain"] == 2.0


def test_the_mean_of_two_amplifiers_is_taken() -> None:
    assert detector({"GAINA": 3.0, "GAINB": 4.0})["gain"] == 3.5
    assert "gain" not in detector({"GAINA": 3.0})


@pytest.mark.parametrize("told", [0, 0.0, -1, "unknown", "nan", "inf"])
def test_a_gain_that_cannot_be_is_unknown(told: Any) -> None:
    assert "gain" not in detector({"GAIN": told})


def test_a_read_noise_of_zero_is_a_value() -> None:
    assert detector({"RDNOISE": 0})["read_noise"] == 0


def test_comments_within_values_are_left_out() -> None:
    assert detector({"EXPTIME": "150.5   / seconds"})["exposure"] == 150.5


def test_a_setting_wins_over_the_header() -> None:
    assert detector({"GAIN": 3.0}, gain=1.5)["gain"] == 1.5


def sky_header() -> fits.Header:
    cards = header(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.0, CRVAL2=20.0)
    cards.update(CRPIX1=1.0, CRPIX2=1.0, CDELT1=-2e-4, CDELT2=1e-4, PIXSCALE=9.0)
    return cards


def test_the_wcs_tells_the_pixel_scale_unless_it_is_set() -> None:
    cards = sky_header()
    wcs = frame_wcs(cards, fits.HDUList(), [])
    generic = load_instrument("generic-ccd")
    scale = resolve_detector(generic, cards, {}, wcs)["pixel_scale"]
    assert scale.value == pytest.approx(3600 * np.sqrt(2e-8))
    assert scale.origin == "WCS"
    assert resolve_detector(generic, cards, {"pixel_scale": 1.0}, wcs)["pixel_scale"].value == 1.0
    assert resolve_detector(generic, cards, {}, None)["pixel_scale"].value == 9.0


@pytest.mark.parametrize("cards", [{"CTYPE1": "RA---XYZ"}, {"CDELT1": 0.0}])
def test_a_wcs_that_is_not_understood_is_noted(cards: dict[str, Any]) -> None:
    broken = sky_header()
    broken.update(cards)
    notes: list[str] = []
    assert frame_wcs(broken, fits.HDUList(), notes) is None
    assert len(notes) == 1
    assert notes[0].startswith("WCS not understood: ")


def test_no_wcs_is_no_note() -> None:
    notes: list[str] = []
    assert frame_wcs(header(), fits.HDUList(), notes) is None
    assert notes == []


def test_the_frame_carries_the_values_that_were_found() -> None:
    hdu = fits.PrimaryHDU(np.ones((4, 5), "f4"))
    hdu.header.update(GAIN=1.9, RDNOISE=5.0, EXPTIME=60.0, FILTER="R")
    frame = read_frame(fits.HDUList([hdu]), gain=2.5)
    found = frame.detector
    assert (found.gain, found.read_noise, found.exposure, found.filter) == (2.5, 5.0, 60.0, "R")
    assert found.saturation is None
    assert frame.unit == u.adu


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(AstrocleanError, match="gian"):
        read_frame(fits.HDUList([fits.PrimaryHDU(np.ones((4, 5), "f4"))]), gian=2.0)
