"""Noise around a hole is measured as it is, and more of the same kind is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from astroclean_pconv.fill.noise import Noise, draw_noise, measure_noise
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.simulate.cirrus import mapping_noise


def correlations(noise: np.ndarray) -> tuple[float, float, float]:
    """Of neighbors along x, along y, and along a diagonal."""
    variance = (noise**2).mean()
    along = (noise[:, :-1] * noise[:, 1:], noise[:-1] * noise[1:], noise[:-1, :-1] * noise[1:, 1:])
    return tuple(float(part.mean() / variance) for part in along)  # type: ignore[return-value]


def smooth_structure(shape: tuple[int, int]) -> np.ndarray:
    y, x = np.indices(shape)
    return 5 * np.sin(x / 11.0) * np.cos(y / 13.0) + 0.02 * x


@pytest.mark.parametrize("width", [0.0, 0.4, 0.6, 0.8])
@pytest.mark.parametrize("sigma", [1e-3, 40.0])
def test_strength_and_correlation_are_found_on_smooth_structure(width: float, sigma: float) -> None:
    shape = (256, 256)
    noise = sigma * mapping_noise(np.random.default_rng(4), shape, width)
    level = sigma * (100 + smooth_structure(shape))
    found = measure_noise(level + noise, np.ones(shape, dtype=bool))
    assert found.sigma == pytest.approx(sigma, rel=0.05)
    assert found.correlation == pytest.approx(np.mean(correlations(noise)[:2]), abs=0.03)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([np.nan, np.inf, 1e9]))
def test_pixels_that_are_not_valid_are_not_read(seed: int, rubbish: float) -> None:
    rng = np.random.default_rng(seed)
    image, valid = rng.normal(size=(40, 50)), rng.random((40, 50)) < 0.9
    spoiled = np.where(valid, image, rubbish)
    assert measure_noise(spoiled, valid) == measure_noise(image, valid)


def test_sources_and_missing_pixels_hardly_matter() -> None:
    rng = np.random.default_rng(1)
    image, valid = rng.normal(size=(96, 96)), np.ones((96, 96), dtype=bool)
    y, x = np.indices(image.shape)
    for cy, cx in rng.uniform(0, 96, (5, 2)):
        image += 500 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 6)
    valid[30:60, 20:60] = False
    found = measure_noise(image, valid)
    assert found.sigma == pytest.approx(1, rel=0.15)
    assert found.correlation < 0.15


@pytest.mark.parametrize("image", [np.full((30, 30), 7.0), np.ones((1, 1)), np.ones((2, 400))])
def test_where_nothing_tells_there_is_no_noise(image: np.ndarray) -> None:
    assert measure_noise(image, np.ones(image.shape, dtype=bool)) == Noise(0.0, 0.0)
    assert measure_noise(image, np.zeros(image.shape, dtype=bool)) == Noise(0.0, 0.0)


@pytest.mark.parametrize("correlation", [0.0, 0.2, 0.5, 0.75])
def test_noise_is_drawn_as_asked(correlation: float) -> None:
    asked = Noise(3.0, correlation)
    drawn = draw_noise(np.random.default_rng(2), asked, (400, 420))
    assert drawn.shape == (400, 420)
    assert drawn.mean() == pytest.approx(0, abs=0.1)
    assert drawn.std() == pytest.approx(3, rel=0.03)
    along_x, along_y, across = correlations(drawn[8:-8, 8:-8])
    assert along_x == pytest.approx(correlation, abs=0.03)
    assert along_y == pytest.approx(correlation, abs=0.03)
    # r^(d^2): that of the covariance below.
    assert across == pytest.approx(correlation**2, abs=0.04)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.floats(0.1, 10), st.floats(0, 0.7))
def test_what_is_drawn_is_measured_as_it_was_asked(
    seed: int, sigma: float, correlation: float
) -> None:
    drawn = draw_noise(np.random.default_rng(seed), Noise(sigma, correlation), (200, 200))
    found = measure_noise(drawn, np.ones(drawn.shape, dtype=bool))
    assert found.sigma == pytest.approx(sigma, rel=0.08)
    assert found.correlation == pytest.approx(correlation, abs=0.06)


@settings(deadline=None, max_examples=20)
@given(st.floats(0.1, 10), st.floats(0, 0.95))
def test_the_covariance_is_one_of_pixels(sigma: float, correlation: float) -> None:
    y, x = (part.ravel() for part in np.mgrid[:5, :6])
    squared = ((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2).astype(float)
    made = Noise(sigma, correlation).covariance(squared)
    np.testing.assert_allclose(np.diag(made), sigma**2)
    np.testing.assert_array_equal(made, made.T)
    assert made[0, 1] == pytest.approx(sigma**2 * correlation)
    assert np.linalg.eigvalsh(made).min() > -1e-12 * sigma**2
