"""Cards that contradict each other: the plausible one is taken and told, or none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from astroclean.core.flags.planes import MaskPlane
from astroclean.io.frames.read import ReadSettings, open_exposure
from astroclean.io.header.header_values import BASE, Context, Remarked, header_value
from astroclean.io.header.wcs_repair import repaired_wcs

NINA = {"INSTRUME": "ZWO ASI2600MM Pro", "SWCREATE": "N.I.N.A. 3.1"}
Cards = dict[str, Any]

# What is wanted, cards (value, or value and comment), value, part of what is contradictory or None.
GAINS: list[tuple[Cards, float | None, str | None]] = [
    ({"GAIN": (100, "Sensor gain"), "EGAIN": (0.25, "Electrons per A/D unit")}, 0.25, "GAIN = 100"),
    ({"GAIN": 100, "EGAIN": 0.25, **NINA}, 0.25, "setting of the camera"),
    ({"EGAIN": 0.25, "GAIN": 100}, 0.25, "GAIN = 100"),
    ({"GAIN": (120, "Gain"), "EGAIN": (0.8, "Electrons Per ADU"), "CREATOR": "INDI"}, 0.8, "120"),
    ({"GAIN": (5, "gain index"), "EGAIN": 2.0}, 2.0, "GAIN = 5"),
    ({"GAIN": "HIGH", "EGAIN": 1.4}, 1.4, "is no number"),
    ({"GAIN": 1, "EGAIN": 3.5}, 3.5, "GAIN = 1"),
    ({"GAIN": (2.0, "[e-/ADU] gain"), "EGAIN": 1.0}, 2.0, "EGAIN = 1.0"),
    ({"GAIN": (0.5, "[ADU/e-] gain")}, 2.0, None),
    ({"GAIN": (0.5, "DN per electron"), "EGAIN": (2.0, "e-/DN")}, 2.0, None),
    ({"GAIN": (2.0, "e/ADU"), "EGAIN": (4.0, "e/ADU")}, None, "contradict each other"),
    ({"GAIN": (2.0, "[electron/adu]"), "EGAIN": 2.02}, 2.0, None),
    ({"GAIN": 0, "EGAIN": 1.1}, 1.1, None),
    ({"GAIN": -1.0}, None, None),
    ({"GAIN": 100}, None, None),
    ({"GAIN": 1.0, **NINA}, None, None),
    ({"GAIN": (12, "[0.1 dB] gain")}, None, None),
    ({"GAIN": "1.9 e-/ADU"}, 1.9, None),
    ({"ATODGAIN": (1.0, "calibrated CCD amplifier gain value")}, 1.0, None),
    ({"EGAIN": (0.3, "e-/ADU at this gain setting"), "GAIN": (100, "Gain")}, 0.3, "GAIN = 100"),
    ({"GAIN": (14.0, "[e/DN] WFPC2")}, 14.0, None),
    (
        {
            "HIERARCH ESO DET OUT1 GAIN": (0.8, "Conversion from electrons to ADU"),
            "HIERARCH ESO DET OUT1 CONAD": (1.25, "Conversion from ADUs to electrons"),
        },
        1.25,
        None,
    ),
    ({"HIERARCH ESO DET OUT1 GAIN": (0.8, "Conversion from electrons to ADU")}, 1.25, None),
]


def hdu_of(cards: Cards, data: np.ndarray | None = None) -> fits.PrimaryHDU:
    made = fits.PrimaryHDU(np.full((40, 50), 300, "f4") if data is None else data)
    for key, card in {"BUNIT": "adu", **cards}.items():
        made.header[key] = card
    return made


def told(cards: Cards, data: np.ndarray | None = None) -> tuple[dict[str, Any], list[str]]:
    """Return what is resolved of a file with these cards, and what is contradictory."""
    with open_exposure(fits.HDUList([hdu_of(cards, data)]), ReadSettings()) as exposure:
        (slot,) = exposure.slots
        values = {name: found.value for name, found in exposure.resolved(slot).items()}
        frame = exposure.frame(slot)
        known = frame.detector
        assert all(getattr(known, n) == values.get(n) for n in ("gain", "saturation", "exposure"))
        return values, exposure.contradictions


def check(name: str, cards: Cards, value: Any, contradiction: str | None, **more: Any) -> None:
    values, contradictions = told(cards, **more)
    assert values.get(name) == (value if value is None else pytest.approx(value))
    if contradiction is None:
        assert contradictions == []
    else:
        (text,) = contradictions
        assert contradiction in text


@pytest.mark.parametrize(("cards", "value", "contradiction"), GAINS)
def test_gain(cards: Cards, value: float | None, contradiction: str | None) -> None:
    check("gain", cards, value, contradiction)


@pytest.mark.parametrize("cards", [cards for cards, _, _ in GAINS])
def test_the_order_of_cards_does_not_matter(cards: Cards) -> None:
    turned = dict(reversed(cards.items()))
    assert told(cards)[0].get("gain") == told(turned)[0].get("gain")


def test_a_lone_setting_of_the_camera_is_a_note() -> None:
    with open_exposure(fits.HDUList([hdu_of({"GAIN": (100, "Sensor gain")})])) as exposure:
        exposure.resolved(exposure.slots[0])
        assert any("GAIN = 100" in note and "gain not known" in note for note in exposure.notes)


EXPOSURES: list[tuple[Cards, float | None, str | None]] = [
    ({"EXPTIME": 60.0, "EXPOSURE": (60000, "[ms]")}, 60.0, None),
    ({"EXPOSURE": (1500.0, "exposure in milliseconds")}, 1.5, None),
    ({"EXPTIME": 60.0, "EXPOSURE": 60000.0}, 60.0, "EXPOSURE = 60000.0"),
    ({"EXPTIME": (2.0, "[min] exposure")}, 120.0, None),
    ({"EXPTIME": 60.0, "TEXPTIME": 600.0}, 60.0, None),
    ({"EXPTIME": (60.0, "[s]"), "EXPOSURE": (90.0, "seconds")}, None, "contradict each other"),
    ({"EXPTIME": -1}, None, None),
]


@pytest.mark.parametrize(("cards", "value", "contradiction"), EXPOSURES)
def test_exposure(cards: Cards, value: float | None, contradiction: str | None) -> None:
    check("exposure", cards, value, contradiction)


NOISES: list[tuple[Cards, float | None, str | None]] = [
    ({"RDNOISE": 5.0}, 5.0, None),
    ({"RDNOISE": (5.0, "[e-] read noise")}, 5.0, None),
    ({"RDNOISE": (5.0, "[ADU] read noise"), "GAIN": (2.0, "e-/ADU")}, 10.0, None),
    ({"RDNOISE": (5.0, "read noise in ADU")}, None, None),
    ({"RDNOISE": (5.0, "[e-]"), "READNOIS": (9.0, "[e-]")}, None, "contradict each other"),
    ({"RDNOISE": -1}, None, None),
]


@pytest.mark.parametrize(("cards", "value", "contradiction"), NOISES)
def test_read_noise(cards: Cards, value: float | None, contradiction: str | None) -> None:
    check("read_noise", cards, value, contradiction)


RAW = np.full((40, 50), 300, np.uint16)
SATURATIONS: list[tuple[Cards, np.ndarray, float | None, str | None]] = [
    ({"SATURATE": 50000.0}, RAW, 50000.0, None),
    ({"SATURATE": 65536.0}, RAW, 65535.0, None),
    ({"SATURATE": 100000.0}, RAW, None, "above what 16 bits can hold"),
    ({"SATURATE": 200.0}, RAW, None, "below the median of the pixels"),
    ({"SATURATE": 1.0, "BUNIT": "electron"}, RAW.astype("f4"), None, "below the median"),
    ({"SATURATE": (8e4, "[e-]"), "GAIN": (2.0, "e/ADU")}, RAW.astype("f4"), 4e4, None),
    (
        {"SATURATE": (4e4, "ADU"), "GAIN": (2.0, "e/ADU"), "BUNIT": "electron"},
        RAW.astype("f4"),
        8e4,
        None,
    ),
    ({"SATURATE": 5e4, "SATLEVEL": 3e4}, RAW, None, "contradict each other"),
]


@pytest.mark.parametrize(("cards", "data", "value", "contradiction"), SATURATIONS)
def test_saturation(
    cards: Cards, data: np.ndarray, value: float | None, contradiction: str | None
) -> None:
    check("saturation", cards, value, contradiction, data=data)


def test_saturation_does_not_depend_on_the_window() -> None:
    ramp = np.repeat(np.arange(200, dtype="f4")[:, None], 30, axis=1)
    with open_exposure(fits.HDUList([hdu_of({"SATURATE": 90.0}, ramp)])) as exposure:
        slot = exposure.slots[0]
        for rows in (slice(0, 5), slice(150, 160)):
            frame = exposure.frame(slot, (rows, slice(0, 30)))
            assert frame.detector.saturation is None


TAN = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0}
TAN |= {"CRPIX1": 25.0, "CRPIX2": 20.0}
SMALL = 0.3 / 3600
CD = {"CD1_1": -SMALL, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": SMALL}
SCALES: list[tuple[Cards, float | None, str | None]] = [
    ({**TAN, **CD, "PIXSCALE": 0.3}, 0.3, None),
    ({**TAN, **CD, "PIXSCALE": 0.6}, 0.3, "that of the WCS is taken"),
    ({**TAN, "PIXSCALE": 0.6}, 0.6, None),
    ({"PIXSCALE": (1e-4, "[deg] pixel")}, 0.36, None),
    ({"PIXSCALE": (206.0, "[arcsec/mm] plate scale")}, None, None),
    ({"SCALE": 1.2, "PIXSCALE": (1.2, "[arcsec/pix]")}, 1.2, None),
    ({"XPIXSZ": 3.76, "FOCALLEN": 400.0}, 206.264806 * 3.76 / 400, None),
    ({**TAN, **CD, "CDELT1": -2 * SMALL, "CDELT2": 2 * SMALL}, 0.3, "CDELT tells pixels of 0.6"),
    ({**TAN, **CD, "CDELT1": 1.0, "CDELT2": 1.0}, 0.3, None),
    ({**TAN, **CD, "CDELT1": -SMALL, "CDELT2": SMALL, "PC1_1": 1.0, "PC2_2": 1.0}, 0.3, None),
    ({**TAN, **CD, "PC1_1": 1.0, "PC2_2": 1.0}, 0.3, "CD is taken"),
    (
        {**TAN, **CD, "CDELT1": -2 * SMALL, "CDELT2": 2 * SMALL, "PC1_1": 1.0, "PC2_2": 1.0},
        None,
        "no world coordinates are taken",
    ),
]


@pytest.mark.parametrize(("cards", "value", "contradiction"), SCALES)
def test_pixel_scale(cards: Cards, value: float | None, contradiction: str | None) -> None:
    check("pixel_scale", cards, value, contradiction)


WIDTHS: list[tuple[Cards, float | None, str | None]] = [
    ({"SEEING": 1.1}, 1.1, None),
    ({"SEEING": (3.0, "[pix] FWHM"), "PIXSCALE": 0.4}, 1.2, None),
    ({"SEEING": (3.0, "FWHM in pixels")}, None, None),
    ({"FWHM": (1.2, "FWHM in arcsec (0.26 arcsec/pixel)")}, 1.2, None),
    ({"FWHM": 3.0, "PIXSCALE": 0.4}, None, None),
    ({"FWHM": 3.0, "SEEING": (1.2, "[arcsec]")}, 1.2, "does not tell its unit"),
    (
        {"SEEING": (3.0, "[pix]"), "PIXSCALE": 0.4, "L1FWHM": (2.5, "[arcsec]")},
        None,
        "contradict each other",
    ),
]


@pytest.mark.parametrize(("cards", "value", "contradiction"), WIDTHS)
def test_width_of_the_psf(cards: Cards, value: float | None, contradiction: str | None) -> None:
    check("psf_fwhm", cards, value, contradiction)


def test_of_two_filter_wheels_the_one_with_a_filter() -> None:
    assert told({"FILTER1": "CLEAR", "FILTER2": "r'"})[0]["filter"] == "r'"
    assert told({"FILTER1": "g", "FILTER2": "open"})[0]["filter"] == "g"
    assert told({"FILTER": "CLEAR"})[0]["filter"] == "CLEAR"


SECTIONS: list[tuple[Cards, int, str | None]] = [
    ({"TRIMSEC": "[3:50,1:40]"}, 80, None),
    ({"TRIMSEC": "[1:50,1:40]"}, 0, None),
    ({"TRIMSEC": "[11:60,1:40]"}, 0, "does not lie in the frame"),
    ({"TRIMSEC": "[1:50,1:4000]"}, 0, "does not lie in the frame"),
    ({"TRIMSEC": "[3:50,1:40]", "TRIM": "Jan 5 Trim data section is [3:50]"}, 0, "as TRIM tells"),
    ({"TRIMSEC": "[3:50,1:40]", "BIASSEC": "[51:60,1:40]"}, 0, "BIASSEC [51:60,1:40] is outside"),
    ({"TRIMSEC": "[1:20,1:40]"}, 0, "less than half"),
    ({"TRIMSEC": "whole"}, 0, "is no section"),
]


@pytest.mark.parametrize(("cards", "pixels", "contradiction"), SECTIONS)
def test_a_section_that_cannot_be_flags_nothing(
    cards: Cards, pixels: int, contradiction: str | None
) -> None:
    with open_exposure(fits.HDUList([hdu_of(cards)])) as exposure:
        frame = exposure.frame(exposure.slots[0])
        assert np.count_nonzero(frame.where(MaskPlane.OVERSCAN)) == pixels
        told = " ".join(exposure.contradictions)
    assert (contradiction is None) == (told == "")
    assert contradiction is None or contradiction in told


@pytest.mark.parametrize(
    ("right", "declination"), [("150.0", " 2.0 "), ("10:00:00.0", "+02:00:00"), ("1.5E2", "2")]
)
def test_reference_values_in_quotes_are_numbers(right: str, declination: str) -> None:
    cards = {**TAN, **CD, "CRVAL1": right, "CRVAL2": declination}
    with open_exposure(fits.HDUList([hdu_of(cards)])) as exposure:
        wcs = exposure.frame(exposure.slots[0]).wcs
        assert any("CRVAL1, CRVAL2" in note for note in exposure.notes)
    np.testing.assert_allclose(wcs.wcs.crval, [150.0, 2.0])


def test_a_reference_value_that_is_no_number_leaves_no_wcs() -> None:
    with open_exposure(fits.HDUList([hdu_of({**TAN, **CD, "CRVAL1": "unknown"})])) as exposure:
        assert exposure.frame(exposure.slots[0]).wcs is None
        assert any("WCS not understood: CRVAL1" in note for note in exposure.notes)


def test_a_sound_header_is_given_back_as_it_is() -> None:
    header = hdu_of({**TAN, **CD}).header
    remarked = Remarked()
    assert repaired_wcs(header, remarked) is header
    assert (remarked.notes, remarked.contradictions) == ([], [])


def test_electrons_in_integers_beside_a_gain_are_told() -> None:
    cards = {"BUNIT": "electron", "EGAIN": (0.25, "e-/ADU")}
    assert "integers of 16 bits" in told(cards, RAW)[1][0]
    assert told(cards)[1] == []
    assert told({"BUNIT": "electron", "GAIN": 1.0}, RAW)[1] == []


def test_each_value_carries_its_origin() -> None:
    cards = {**TAN, **CD, "GAIN": (100, "Sensor gain"), "EGAIN": 0.25, "TRIMSEC": "[3:50,1:40]"}
    settings = ReadSettings(overrides={"read_noise": 2.0})
    with open_exposure(fits.HDUList([hdu_of(cards)]), settings) as exposure:
        found = {n: r.origin for n, r in exposure.resolved(exposure.slots[0]).items()}
    assert found["gain"] == "header EGAIN"
    assert found["read_noise"] == "setting instrument.read_noise"
    assert found["pixel_scale"] == "WCS"
    assert found["unit"] == "header BUNIT"
    assert found["trim"] == "header TRIMSEC"


def test_the_beam_of_a_map_is_its_width_where_nothing_else_tells() -> None:
    header = fits.Header({"BMAJ": 14 / 3600, "BMIN": 12 / 3600})
    known = header_value("psf_fwhm", BASE["psf_fwhm"], header, Context(), Remarked())
    assert known is not None
    assert known.value == pytest.approx(13)
    remarked = Remarked()
    header["SEEING"] = 1.3
    known = header_value("psf_fwhm", BASE["psf_fwhm"], header, Context(), remarked)
    assert known is not None
    assert known.value == 1.3
    assert not remarked.contradictions
