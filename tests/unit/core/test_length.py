"""Lengths with their unit: what is understood, and what becomes of it on pixels of a size."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import astropy.units as u
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.core.image.frame import Frame
from astroclean.core.image.frameset import FrameSet
from astroclean.core.length import IN_ARCSEC, IN_PIXELS, Length, LengthIn
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.options import StageOptions, option_problems
from astroclean.core.stage.results import Mask
from astroclean.core.stage.scope import Scope, scope_of
from astroclean.errors import StageError

SCALE = 0.2


class Options(StageOptions):
    width: Annotated[float, Field(gt=0, le=50), IN_PIXELS] = 3.0
    side: Annotated[int, Field(ge=1), IN_PIXELS] | None = None
    beam: Annotated[float, Field(gt=0), IN_ARCSEC] = 1.0
    fine: Annotated[float, LengthIn("pixel", finer="factor")] = 1.0
    factor: int = 2


class Wide(Masker):
    Options = Options
    accepts: ClassVar[frozenset[str]] = frozenset({"frame", "set"})

    def scope(self, frame: Frame) -> Scope:
        return Scope(int(2 * self.options.width))

    def find(self, frame: Any) -> Any:
        flags = {"": frame} if isinstance(frame, Frame) else dict(frame.frames)
        masks = {
            band: Mask(np.zeros(one.shape, np.uint32), metrics={"width": float(self.options.width)})
            for band, one in flags.items()
        }
        return masks[""] if isinstance(frame, Frame) else masks


def frame(scale: float | None = SCALE) -> Frame:
    meta = {} if scale is None else {DETECTOR_KEYWORDS["pixel_scale"]: scale}
    return Frame(np.zeros((20, 20), np.float32), unit=u.adu, meta=meta)


@given(
    st.floats(1e-3, 1e3),
    st.sampled_from(["arcsec", "mas", "arcmin", "deg", "pixel", "pixels", " px", "arcsecs", '"']),
)
def test_a_text_is_what_astropy_makes_of_it(number: float, unit: str) -> None:
    length = Length.parsed(f"{number!r} {unit}")
    plain = {"pixels": "pixel", " px": "pixel", "arcsecs": "arcsec", '"': "arcsec"}
    quantity = number * u.Unit(plain.get(unit, unit))
    assert length.value == pytest.approx(quantity.to_value(u.Unit(length.unit)))
    assert Length.parsed(quantity) == Length(pytest.approx(length.value), length.unit)
    assert Length.parsed(str(length)).value == pytest.approx(length.value)
    other = {"pixel": "arcsec", "arcsec": "pixel"}[length.unit]
    there = Length(length.to(other, SCALE), other)
    assert there.to(length.unit, SCALE) == pytest.approx(length.value)


@pytest.mark.parametrize(
    ("told", "rule"),
    [
        ("2", 'as in "2 pixel" or "2 arcsec"'),
        ("wide", 'such as "2 pixel" or "14 arcsec"'),
        ("nan pixel", 'such as "2 pixel"'),
        ("2 Jy", "in pixels or an angle"),
        ("2 furlong", "in pixels or an angle"),
        ("-2 pixel", "not negative"),
        (True, "must be a number"),
        ("1000 pixel", "must be less than or equal to 50"),
        (-1, "must be greater than 0"),
    ],
)
def test_what_is_no_length_is_told_with_the_form_that_works(told: Any, rule: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Options(width=told)
    (problem,) = option_problems(raised.value, Options, {"width": told})
    assert rule in problem


def test_a_bare_number_and_the_units_of_the_option_are_numbers_at_once() -> None:
    options = Options(width=4, side="8 pixel", beam="500 mas")
    assert (options.width, options.side, options.beam) == (4.0, 8, 0.5)
    assert options.lengths() == {}
    assert options.at_scale(None) is options


def test_the_other_unit_is_turned_over_on_the_pixels_of_the_frame() -> None:
    options = Options(width="1 arcsec", side="0.9 arcsec", beam="3 pixel", fine=0.4 * u.arcsec)
    assert options.record()["width"] == "1 arcsec"
    plain = options.at_scale(SCALE)
    assert plain.lengths() == {}
    assert (plain.width, plain.side) == (pytest.approx(5), 4)
    assert (plain.beam, plain.fine) == (pytest.approx(0.6), pytest.approx(4))

    stage = Wide(options)
    result = stage.run(frame())
    assert result.metrics["width"] == pytest.approx(5)
    assert result.frame.history[-1].options["width"] == pytest.approx(5)
    assert scope_of(stage, frame()).halo == 10
    assert scope_of(stage, frame(0.5)).halo == 4
    assert stage.options is options


def test_without_a_scale_or_beyond_the_bounds_it_is_an_error_that_says_so() -> None:
    stage = Wide(Options(width="1 arcsec"))
    with pytest.raises(
        StageError, match=r"width = 1 arcsec is an angle but the pixel .* not known"
    ):
        stage.run(frame(None))
    with pytest.raises(StageError, match=r"width = 1 arcsec on pixels of 0.01 .*less.*got 100"):
        stage.run(frame(0.01))


def test_bands_of_several_scales_need_the_unit_of_the_option() -> None:
    stage = Wide(Options(width="1 arcsec"))
    same = stage.run_set(FrameSet({"g": frame(), "r": frame(SCALE + 1e-6)}))
    assert same["r"].metrics["width"] == pytest.approx(5)
    for other in (0.4, None):
        with pytest.raises(StageError, match=r"bands have pixels of several sizes.*width"):
            stage.run_set(FrameSet({"g": frame(), "r": frame(other)}))
