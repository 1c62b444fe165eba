"""`saturation`: level, bleeding along columns, enclosed pixels."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astroclean_classical.saturation.stage import Saturation, SaturationOptions
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_propagation

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.stage.results import Outcome
from astroclean.errors import AstrocleanWarning, StageError, SuspectWarning
from astroclean.testing.chunks import run_in_chunks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LEVEL = 1000.0


def flagged(
    image: np.ndarray, meta: dict[str, float] | None = None, **options: object
) -> np.ndarray:
    frame = Frame(image, unit="adu", meta=meta or {})
    return Saturation(SaturationOptions(**options)).run(frame).frame.where("SATURATED")


def bleeding() -> np.ndarray:
    """A saturated core, a trail of 900 along column 20, and a bright neighbor beside it."""
    image = np.full((60, 50), 10.0)
    image[28:33, 18:23] = LEVEL
    image[5:55, 20] = np.maximum(image[5:55, 20], 900)
    image[30, 24:30] = 900
    return image


def test_level_and_bleeding_along_the_column() -> None:
    expected = np.zeros((60, 50), dtype=bool)
    expected[28:33, 18:23] = True
    expected[5:55, 20] = True
    assert np.array_equal(flagged(bleeding(), level=LEVEL, grow=0), expected)


def test_without_bleeding_only_the_level() -> None:
    mask = flagged(bleeding(), level=LEVEL, grow=0, bleed_fraction=1)
    assert np.array_equal(mask, bleeding() >= LEVEL)


def test_axis_of_bleeding() -> None:
    along_y = flagged(bleeding(), level=LEVEL)
    along_x = flagged(bleeding().T, level=LEVEL, bleed_axis="x")
    assert np.array_equal(along_x, along_y.T)
    assert not np.array_equal(flagged(bleeding().T, level=LEVEL), along_y.T)


@pytest.mark.parametrize("value", [np.nan, -32768.0])
def test_core_that_wrapped_around_or_is_empty_is_flagged(value: float) -> None:
    image = bleeding()
    image[29:32, 19:22] = value
    mask = flagged(image, level=LEVEL, grow=0)
    assert mask[28:33, 18:23].all()
    assert not flagged(image, level=LEVEL, grow=0, max_hole=8)[30, 19]


def test_empty_pixels_do_not_carry_the_bleeding_on() -> None:
    image = bleeding()
    image[40, 20] = np.nan
    image[2:4, :] = np.nan
    mask = flagged(image, level=LEVEL, grow=0)
    assert mask[39, 20]
    assert not mask[40:, 20].any()
    assert not mask[2:4].any()


def test_growing_is_by_distance() -> None:
    image = np.zeros((21, 21))
    image[10, 10] = LEVEL
    distance = np.hypot(*(np.indices(image.shape) - 10))
    for grow in (0, 1, 3):
        assert np.array_equal(flagged(image, level=LEVEL, grow=grow), distance <= grow)


def test_level_of_the_detector_and_the_option_before_it() -> None:
    image = np.zeros((9, 9))
    image[4, 4] = 600
    assert flagged(image, {"ACSATUR": 500.0}).any()
    assert not flagged(image, {"ACSATUR": 500.0}, level=700).any()


def test_unknown_level_flags_nothing_and_says_so() -> None:
    frame = Frame(bleeding(), unit="adu")
    with pytest.warns(AstrocleanWarning, match=r"`level`.*instrument\.saturation"):
        result = Saturation().run(frame)
    assert result.outcome == Outcome.NO_WORK
    assert not result.frame.flags.any()


def test_unknown_level_is_an_error_on_request() -> None:
    frame = Frame(bleeding(), unit="adu")
    with pytest.raises(StageError, match=r"`level`.*instrument\.saturation"):
        Saturation(SaturationOptions(if_unknown="error")).run(frame)


def test_clipped_data_tell_their_level() -> None:
    generator = np.random.default_rng(0)
    image = generator.normal(100, 10, (50, 50))
    image[20:24, 20:24] = generator.uniform(50000, 90000, (4, 4))
    clipped = np.minimum(image, 40000)
    result = Saturation(SaturationOptions(level="clipped", grow=0)).run(Frame(clipped, unit="adu"))
    assert result.metrics["saturation level"] == 40000
    assert np.array_equal(result.frame.where("SATURATED"), clipped == 40000)
    with pytest.warns(AstrocleanWarning, match="no level at which stars are cut off"):
        untouched = Saturation(SaturationOptions(level="clipped")).run(Frame(image, unit="adu"))
    assert untouched.outcome is Outcome.NO_WORK
    assert np.isnan(untouched.metrics["saturation level"])


def test_real_saturation_and_bleeding_of_decam(real_data: Callable[[str], Path]) -> None:
    path = real_data("decam_dq_cutouts_a.fits.gz")
    for version in (1, 2, 3):
        with fits.open(path) as hdus:
            image = hdus["SCI", version].data.astype(float)
            code = hdus["DQ", version].data
        truth = np.isin(code, (3, 4))
        level = np.percentile(image[code == 3], 10)
        mask = flagged(image, level=float(level), grow=2)
        assert truth.sum() > 100
        assert (mask & truth).sum() > 0.7 * truth.sum()
        assert (mask & ~truth).sum() < 0.5 * truth.sum()


def test_real_overwritten_values_do_no_harm(real_data: Callable[[str], Path]) -> None:
    frame = Frame.read(real_data("kpno09m_a671_r_1200s.fits.fz"))
    result = Saturation(SaturationOptions(level=30000)).run(frame)
    mask = result.frame.where(MaskPlane.SATURATED)
    assert mask[frame.data >= 30000].all()
    assert 0 < mask.mean() < 0.01


@pytest.mark.filterwarnings("ignore:.*stars are cut off:astroclean.errors.AstrocleanWarning")
@pytest.mark.parametrize("axis", ["y", "x"])
@pytest.mark.parametrize("level", [LEVEL, "clipped"])
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 60), st.integers(1, 12)),
    rows=st.integers(1, 40),
    max_hole=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_bands_of_any_height_give_the_same_pixels(
    axis: str, level: float | str, seed: int, shape: tuple[int, int], rows: int, max_hole: int
) -> None:
    """Trails longer than a band, holes across its edge, NaN, and a maximum in any band."""
    rng = np.random.default_rng(seed)
    levels = np.array([10.0, 850.0, 990.0, LEVEL, np.nan])
    image = rng.choice(levels, shape, p=[0.2, 0.45, 0.1, 0.2, 0.05])
    frame = Frame(image, unit="adu")
    options = SaturationOptions(level=level, bleed_axis=axis, max_hole=max_hole)
    stage = Saturation(options)
    bands = run_in_chunks(stage, frame, rows=rows)
    assert np.array_equal(bands["flags"], stage.run(frame).frame.flags)


@given(seed=st.integers(0, 2**32 - 1), shape=st.tuples(st.integers(1, 40), st.integers(1, 9)))
@settings(max_examples=60, deadline=None)
def test_trails_are_those_that_scipy_propagates(seed: int, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    image = rng.choice([10.0, 850.0, LEVEL], shape, p=[0.3, 0.6, 0.1])
    column = np.array([[0, 1, 0]] * 3)
    expected = binary_propagation(image >= LEVEL, structure=column, mask=image >= 0.8 * LEVEL)
    found = flagged(image, level=LEVEL, max_hole=0, grow=0)
    assert np.array_equal(found, expected)


def test_a_level_above_where_the_frame_is_cut_off_is_doubted() -> None:
    rng = np.random.default_rng(2)
    image = rng.normal(500, 10, (120, 130))
    image[50:60, 50:60] = 4095
    with pytest.warns(SuspectWarning, match="100 pixels share the highest value 4095.*65535"):
        Saturation(SaturationOptions(level=65535)).run(Frame(image, unit="adu"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Saturation(SaturationOptions(level=4095)).run(Frame(image, unit="adu"))
