"""What the finder sees of a pixel depends on its surroundings alone, and on no masked pixel."""

from __future__ import annotations

import numpy as np
import pytest
from astroclean_pais.features import CHANNELS, REACH, features
from hypothesis import given, settings
from hypothesis import strategies as st

SHAPE = (150, 140)


def sky(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    light = rng.normal(size=SHAPE).astype(np.float32)
    y, x = np.indices(SHAPE)
    for height in (20.0, 300.0, 5000.0):
        row, column = rng.uniform(0, SHAPE[0]), rng.uniform(0, SHAPE[1])
        light += height * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 8).astype(np.float32)
    return light


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 99), st.integers(0, 60), st.integers(0, 50), st.floats(1.5, 14.0))
def test_a_part_gives_the_bytes_of_the_whole(seed: int, top: int, left: int, fwhm: float) -> None:
    light = sky(seed)
    usable = np.random.default_rng(seed).random(SHAPE) > 0.05
    part = np.s_[top : top + 80, left : left + 80]
    whole = features(light, usable, fwhm)[(slice(None), *part)]
    alone = features(light[part], usable[part], fwhm)
    inner = np.s_[:, REACH:-REACH, REACH:-REACH]
    assert alone[inner].tobytes() == whole[inner].tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9, -1e9])
def test_nothing_leaks_from_masked_pixels(value: float) -> None:
    light = sky(1)
    usable = np.random.default_rng(1).random(SHAPE) > 0.1
    expected = features(light, usable, 3.0)
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(features(np.where(usable, light, value), usable, 3.0), expected)
    assert not expected[CHANNELS.index("valid")][~usable].any()
    assert not expected[CHANNELS.index("light")][~usable].any()


def test_the_matched_filter_tells_the_snr_of_a_star() -> None:
    y, x = np.indices((61, 61))
    fwhm, flux = 3.0, 100.0
    sigma = fwhm / np.sqrt(8 * np.log(2))
    star = np.exp(-((y - 30) ** 2 + (x - 30) ** 2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    planes = features(flux * star, np.ones_like(star, dtype=bool), fwhm)
    snr = np.sinh(planes[CHANNELS.index("matched")])
    assert snr[30, 30] == pytest.approx(flux * np.sqrt(np.sum(star**2)), rel=0.02)
    assert np.exp(planes[CHANNELS.index("fwhm"), 5, 7]) * 3 == pytest.approx(fwhm)


def test_the_matched_filter_of_noise_has_a_scatter_of_one_also_beside_masked_pixels() -> None:
    noise = np.random.default_rng(3).normal(size=(600, 600)).astype(np.float32)
    usable = np.random.default_rng(4).random(noise.shape) > 0.3
    for valid in (np.ones_like(usable), usable):
        snr = np.sinh(features(noise, valid, 3.0)[CHANNELS.index("matched")])
        assert snr.std() == pytest.approx(1, abs=0.05)


def test_no_pixels_are_no_light() -> None:
    planes = features(np.full((20, 20), np.nan), np.zeros((20, 20), dtype=bool), 3.0)
    assert np.isfinite(planes).all()
    assert not planes[:5].any()
