"""What a detector tells of units: there and back, and what is missing is named."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits

from astroclean.core.image.detector import Detector
from astroclean.core.image.frame import Frame
from astroclean.errors import FrameError, StageError

RATES = [u.electron / u.s, u.adu / u.s, u.count / u.s]
UNITS = [u.electron, u.adu, u.count, *RATES]
GAIN, TIME = 1.5, 300.0
KNOWN = Detector(gain=GAIN, exposure=TIME)


def frame(unit: object, **meta: float) -> Frame:
    return Frame(np.ones((4, 4)), unit=unit, meta=meta, frame_id="x.fits")


@pytest.mark.parametrize(
    ("unit", "electrons"),
    [
        (u.electron, 1.0),
        (u.adu, GAIN),
        (u.count, GAIN),
        (u.electron / u.s, TIME),
        (u.adu / u.s, GAIN * TIME),
        (u.count / u.s, GAIN * TIME),
    ],
)
def test_electrons_for_a_value_of_one(unit: u.Unit, electrons: float) -> None:
    assert KNOWN.scale(unit) == pytest.approx(electrons)
    assert KNOWN.require_scale(frame=frame(unit), stage="s") == pytest.approx(electrons)


@pytest.mark.parametrize(("first", "second"), list(itertools.product(UNITS, UNITS)))
def test_there_and_back_is_one(first: u.Unit, second: u.Unit) -> None:
    there, back = KNOWN.scale(first, second), KNOWN.scale(second, first)
    assert there is not None
    assert back is not None
    assert there * back == pytest.approx(1)
    assert there == pytest.approx((KNOWN.scale(first) or 0) / (KNOWN.scale(second) or 1))


@pytest.mark.parametrize("unit", UNITS)
def test_the_same_unit_needs_nothing(unit: u.Unit) -> None:
    assert Detector().scale(unit, unit) == 1


def test_data_numbers_by_either_name_need_no_gain() -> None:
    assert Detector().scale(u.adu, u.count) == 1
    assert Detector(exposure=TIME).scale(u.count / u.s, u.adu) == TIME


@pytest.mark.parametrize(
    ("unit", "meta", "told"),
    [
        (u.adu, {}, r"gain is needed.*--set instrument\.gain"),
        (u.electron / u.s, {}, r"exposure is needed.*--set instrument\.exposure"),
        (u.adu / u.s, {"ACEXPTIM": TIME}, r"instrument\.gain"),
        (u.adu / u.s, {"ACGAIN": GAIN}, r"instrument\.exposure"),
        (u.adu, {"ACGAIN": 0.0}, r"gain 0.*instrument\.gain"),
        (u.MJy / u.sr, {"ACGAIN": GAIN}, "MJy / sr cannot be turned into electron.*Do this"),
    ],
)
def test_what_is_missing_is_named(unit: u.Unit, meta: dict[str, float], told: str) -> None:
    detector = Detector.from_meta(meta)
    assert detector.scale(unit) is None
    with pytest.raises(StageError, match=told):
        detector.require_scale(frame=frame(unit, **meta), stage="s", otherwise="Do this.")


def test_a_frame_tells_its_detector_with_types() -> None:
    meta = {"ACGAIN": 2, "ACSATUR": np.float32(6e4), "ACINSTR": "x", "ACFILTER": 814}
    detector = Frame(np.ones((2, 2)), unit="adu", meta=meta).detector
    assert detector == Detector(instrument="x", gain=2.0, saturation=6e4, filter="814")
    assert isinstance(detector.gain, float)
    header = fits.Header()
    header["ACGAIN"] = None  # a card without value
    assert Frame(np.ones((2, 2)), unit="adu", meta=header).detector == Detector()


@pytest.mark.parametrize("value", ["1.9", True, [1.0]])
def test_a_value_that_is_no_number_is_an_error_that_names_it(value: object) -> None:
    frame = Frame(np.ones((2, 2)), unit="adu", meta={"ACRDNOIS": value})
    with pytest.raises(FrameError, match=r"ACRDNOIS.*read noise .* must be a number"):
        _ = frame.detector
