"""`Frame.noise` and `Frame.usable`: by the uncertainty, else measured; what is to be believed."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.nddata import InverseVariance, StdDevUncertainty
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from astroclean.core.flags.planes import REJECTING, MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.image.noise import SIGMA_PER_MAD, typical_noise

SHAPE = (150, 170)
MEASURES = ["differences", "scatter"]


def sky(noise: float = 3.0, level: float = 100.0, seed: int = 1) -> np.ndarray:
    return level + np.random.default_rng(seed).normal(0, noise, SHAPE)


def frame_of(data: np.ndarray, **more: object) -> Frame:
    return Frame(data, unit="adu", **more)


@pytest.mark.parametrize("measure", MEASURES)
def test_of_white_noise_both_measures_tell_the_same(measure: str) -> None:
    frame = frame_of(sky())
    noise = frame.noise(measure)
    assert (noise.shape, noise.dtype) == (SHAPE, np.float64)
    assert np.median(noise) == pytest.approx(3, rel=0.03)
    assert typical_noise(frame) == pytest.approx(3, rel=0.03)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_uncertainty_goes_before_what_is_measured(measure: str) -> None:
    stated = np.full(SHAPE, 7.0, np.float32)
    whole = frame_of(sky(), uncertainty=StdDevUncertainty(stated))
    np.testing.assert_array_equal(whole.noise(measure), 7)
    assert typical_noise(whole) == 7
    stated[0, 0], stated[1, 1], stated[2, 2] = np.nan, 0, np.inf
    part = frame_of(sky(), uncertainty=StdDevUncertainty(stated)).noise(measure)
    unknown = part[[0, 1, 2], [0, 1, 2]]
    # Differences are measured where the uncertainty describes too little; here it describes most.
    expected = 7 if measure == "differences" else 3
    np.testing.assert_allclose(unknown, expected, rtol=0.15)
    assert (np.delete(part.ravel(), [0, SHAPE[1] + 1, 2 * SHAPE[1] + 2]) == 7).all()


def test_weights_of_zero_tell_nothing() -> None:
    weights = np.full(SHAPE, 0.25)
    weights[:, :9] = 0
    noise = frame_of(sky(), uncertainty=InverseVariance(weights)).noise()
    np.testing.assert_allclose(noise, 2)


def test_structure_counts_as_scatter_and_not_as_difference() -> None:
    clouds = 60 * gaussian_filter(np.random.default_rng(2).normal(size=SHAPE), 6)
    x = np.arange(SHAPE[1])
    frame = frame_of(sky(1.0) + clouds + 5 * x)
    assert np.median(frame.noise()) == pytest.approx(1, rel=0.05)
    assert np.median(frame.noise("scatter")) > 20


@pytest.mark.parametrize("measure", MEASURES)
def test_pixels_that_are_not_usable_are_not_read(measure: str) -> None:
    data = sky()
    flags = np.zeros(SHAPE, dtype=np.uint32)
    flags[:, ::3] = MaskPlane.COSMIC_RAY
    hit = data.copy()
    hit[:, ::3] = np.random.default_rng(3).normal(0, 1e6, hit[:, ::3].shape)
    one, other = (frame_of(d, flags=flags).noise(measure) for d in (data, hit))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("case", ["zeros", "constant", "nothing usable", "one pixel"])
def test_noise_is_positive_even_where_there_is_none(measure: str, case: str) -> None:
    data = {
        "zeros": np.zeros((9, 8)),
        "constant": np.full((9, 8), 40.0),
        "nothing usable": np.full((9, 8), np.nan),
        "one pixel": np.ones((1, 1)),
    }[case]
    noise = frame_of(data).noise(measure)
    assert np.isfinite(noise).all()
    assert (noise > 0).all()


def test_a_quiet_and_a_loud_half_have_each_its_scatter() -> None:
    data = sky(1.0)
    data[:, 128:] += np.random.default_rng(4).normal(0, 10, data[:, 128:].shape)
    noise = frame_of(data).noise("scatter")
    assert np.median(noise[:, :128]) == pytest.approx(1, rel=0.05)
    assert np.median(noise[:, 128:]) == pytest.approx(np.sqrt(101), rel=0.08)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_usable_is_finite_and_not_rejected(seed: int, without: bool) -> None:
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(6, 7))
    data[rng.random((6, 7)) < 0.2] = np.nan
    planes = rng.choice([0, MaskPlane.COSMIC_RAY, MaskPlane.BRIGHT], (6, 7)).astype(np.uint32)
    reject = REJECTING & ~MaskPlane.NO_DATA if without else REJECTING
    frame = frame_of(data, flags=planes, reject_bits=reject)
    expected = np.isfinite(data) & (planes != MaskPlane.COSMIC_RAY)
    np.testing.assert_array_equal(frame.usable, expected)
    frame.usable[:] = False  # a new array each time
    np.testing.assert_array_equal(frame.usable, expected)


def test_a_filled_pixel_is_usable() -> None:
    flags = np.full((3, 3), MaskPlane.COSMIC_RAY, dtype=np.uint32)
    filled = np.eye(3, dtype=bool)
    frame = frame_of(np.ones((3, 3)), flags=flags, filled=filled)
    np.testing.assert_array_equal(frame.usable, filled)


def test_the_constant_is_that_of_a_gaussian() -> None:
    values = np.random.default_rng(5).normal(0, 2, 10**6)
    assert SIGMA_PER_MAD * np.median(np.abs(values)) == pytest.approx(2, rel=0.005)
