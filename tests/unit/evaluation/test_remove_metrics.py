"""Measures of removal against analytic truths, their laws, and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from astroclean.evaluation.metrics.remove import (
    bootstrap_iqr_error,
    distribution_change,
    flux_ratios,
    hole_errors,
    ks_distance,
    local_scatter,
    power_spectrum_change,
    spread,
    wasserstein_distance,
)

SAMPLES = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=30)


def test_hole_errors_are_in_units_of_the_local_noise() -> None:
    truth, filled = np.zeros((2, 3)), np.array([[1.0, -2, 9], [9, 9, np.nan]])
    sigma = np.array([[0.5, 4, 1], [1, 1, 1]])
    holes = np.array([[1, 1, 0], [0, 0, 1]], dtype=bool)
    errors = hole_errors(filled, truth, sigma=sigma, holes=holes)
    np.testing.assert_array_equal(errors, [2, 0.5, np.nan])
    assert spread(errors).mean == 1.25
    assert spread(errors).count == 2


def test_mean_error_of_white_noise_is_known() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 3, (300, 300))
    holes = np.ones(noise.shape, dtype=bool)
    errors = spread(hole_errors(noise, np.zeros_like(noise), sigma=3.0, holes=holes))
    assert errors.mean == pytest.approx(math.sqrt(2 / math.pi), abs=0.01)
    assert errors.median == pytest.approx(0.6745, abs=0.01)


@pytest.mark.parametrize("noise", [0.01, 1.0])
def test_a_constant_fill_is_off_by_the_local_scatter_whatever_the_noise(noise: float) -> None:
    rng = np.random.default_rng(2)
    structure = np.repeat(np.repeat(rng.normal(1e4, 5, (60, 60)), 5, axis=0), 5, axis=1)
    beneath = structure + rng.normal(0, noise, structure.shape)
    holes = np.ones(beneath.shape, dtype=bool)
    scatter = local_scatter(beneath, box=64)
    errors = spread(hole_errors(np.full_like(beneath, 1e4), structure, sigma=scatter, holes=holes))
    assert errors.median == pytest.approx(0.6745, abs=0.05)


def test_local_scatter_is_that_of_numpy_and_passes_over_gaps() -> None:
    rng = np.random.default_rng(3)
    image = rng.normal(300, 2, (40, 40))
    assert local_scatter(image, box=5)[20, 20] == pytest.approx(image[18:23, 18:23].std())
    image[18:23, 22] = np.nan
    assert local_scatter(image, box=5)[20, 20] == pytest.approx(image[18:23, 18:22].std())
    np.testing.assert_array_equal(local_scatter(np.full((9, 9), 7.0)), 1)


def test_spread_of_nothing_is_nan() -> None:
    empty = spread([np.nan])
    assert empty.count == 0
    assert math.isnan(empty.mean)
    assert math.isnan(empty.iqr)
    assert spread([1, 2, 3, 4, 5]).iqr == 2


@given(st.floats(0.1, 3.0), st.integers(0, 100))
def test_flux_ratio_is_the_share_taken(share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    light = rng.uniform(1, 2, (6, 8))
    labels = np.zeros((6, 8), dtype=int)
    labels[1:3, 1:3], labels[4:, 5:] = 1, 2
    removed = np.where(labels > 0, share * light, np.nan)  # what is outside does not matter
    np.testing.assert_allclose(flux_ratios(removed, light, labels=labels), [share, share])


def test_holes_without_light_have_no_flux_ratio() -> None:
    labels = np.array([[1, 0, 2]])
    ratio = flux_ratios(np.ones((1, 3)), np.array([[0.0, 0, 4]]), labels=labels)
    np.testing.assert_array_equal(ratio, [np.nan, 0.25])
    assert flux_ratios(np.ones((1, 3)), np.ones((1, 3)), labels=0 * labels).size == 0


def test_the_bootstrap_error_of_the_range_is_the_analytic_one() -> None:
    sample = np.random.default_rng(5).normal(0, 2.0, 1500)
    # Of quartiles of a normal distribution: 1.573 sigma / sqrt(n).
    expected = 1.573 * 2.0 / math.sqrt(sample.size)
    assert bootstrap_iqr_error(sample, resamples=400) == pytest.approx(expected, rel=0.25)
    gaps = np.append(sample, [np.nan, np.inf])
    assert bootstrap_iqr_error(gaps) == bootstrap_iqr_error(sample)
    assert bootstrap_iqr_error(np.full(9, 3.0)) == 0
    assert math.isnan(bootstrap_iqr_error([1.0]))


@given(st.integers(0, 100), st.floats(0.2, 5.0))
def test_moments_of_a_distribution_follow_scale_and_mirror(seed: int, scale: float) -> None:
    truth = np.random.default_rng(seed).gamma(3.0, size=300)
    assert distribution_change(truth, truth) == dict.fromkeys(
        ("mean", "median", "std", "skew", "IQR"), 0
    )
    scaled = distribution_change(scale * truth, truth)
    assert scaled.pop("skew") == pytest.approx(0, abs=1e-9)
    assert list(scaled.values()) == pytest.approx([scale - 1] * 4)
    mirrored = distribution_change(-truth, truth)
    assert mirrored["skew"] == pytest.approx(-2 * stats.skew(truth))
    assert mirrored["std"] == pytest.approx(0)
    assert math.isnan(distribution_change([np.nan], truth)["mean"])


@given(st.floats(0.5, 4.0), st.integers(0, 50))
def test_the_power_spectrum_changes_as_the_squares(factor: float, seed: int) -> None:
    image = np.random.default_rng(seed).normal(size=(24, 30))
    frequency, change = power_spectrum_change(image, image)
    assert not change.any()
    assert 0 < frequency[0] < frequency[-1] <= 0.5
    assert power_spectrum_change(image + 7, image)[1] == pytest.approx(0, abs=1e-9)
    expected = factor**2 - 1
    assert power_spectrum_change(factor * image, image)[1] == pytest.approx(expected, abs=1e-9)


@given(SAMPLES, SAMPLES)
def test_distances_of_distributions_equal_a_loop(a: list[float], b: list[float]) -> None:
    values = sorted((*a, *b))
    steps = [abs(np.mean(np.less_equal(a, v)) - np.mean(np.less_equal(b, v))) for v in values]
    assert ks_distance(a, b) == pytest.approx(max(steps))
    moved = sum(step * wide for step, wide in zip(steps, np.diff(values), strict=False))
    assert wasserstein_distance(a, b) == pytest.approx(moved, abs=1e-12)
    assert ks_distance(a, b) == pytest.approx(ks_distance(b, a))
    assert ks_distance(a, a) == wasserstein_distance(a, a) == 0


@given(SAMPLES, st.floats(-5, 5))
def test_a_shift_is_the_distance_that_all_is_moved(sample: list[float], shift: float) -> None:
    moved = np.array(sample) + shift
    assert wasserstein_distance(sample, moved) == pytest.approx(abs(shift), abs=1e-9)


def test_distance_of_no_sample_is_nan() -> None:
    assert math.isnan(ks_distance([], [1.0]))
    assert math.isnan(wasserstein_distance([np.nan], [1.0]))
