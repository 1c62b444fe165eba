"""Matching, F1, flux scatter and overlap against loops, analytic truths and their laws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment

from astroclean.evaluation.metrics.deblend import (
    Detections,
    blendedness,
    magnitude_errors,
    match_positions,
    scatter,
    soft_iou,
)

PLACES = st.integers(0, 12).flatmap(
    lambda n: hnp.arrays(float, (n, 2), elements=st.integers(0, 30).map(float))
)
IMAGES = st.tuples(*[hnp.arrays(float, (4, 5), elements=st.floats(-2, 50))] * 2)


def least_cost(found: Any, true: Any, radius: float) -> float:
    """The best of all assignments, with as many stand-ins for true sources as there are entries."""
    apart = np.linalg.norm(found[:, None] - true[None], axis=2) ** 2
    costs = np.where(apart <= radius**2, apart, 1e9)
    costs = np.concatenate([costs, np.full((len(found), len(found)), radius**2)], axis=1)
    return float(costs[linear_sum_assignment(costs)].sum())


@given(PLACES, PLACES, st.sampled_from([0.5, 2.0, 7.3]))
def test_matching_is_the_best_of_all_assignments(found: Any, true: Any, radius: float) -> None:
    first, second = match_positions(found, true, radius=radius)
    assert len(set(first.tolist())) == len(set(second.tolist())) == len(first)
    apart = np.linalg.norm(found[first] - true[second], axis=1)
    assert np.all(apart <= radius)
    assert np.all(np.diff(apart) >= 0)
    cost = float(np.sum(apart**2)) + radius**2 * (len(found) - len(first))
    assert cost == pytest.approx(least_cost(found, true, radius), abs=1e-5)


def test_a_near_pair_does_not_leave_two_others_alone() -> None:
    # Nearest first would take (1, 0) and leave one of each.
    found, true = np.array([[0.0, 0], [1.4, 0]]), np.array([[1.0, 0.0], [2.4, 0.0]])
    first, second = match_positions(found, true, radius=1.5)
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == {(0, 0), (1, 1)}


def test_a_perfect_pair_is_not_torn_to_match_far_ones() -> None:
    found, true = np.array([[0.0, 0], [1.4, 0]]), np.array([[0.0, 0.0], [-1.4, 0.0]])
    first, second = match_positions(found, true, radius=1.5)
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == {(0, 0)}


def test_no_radius_and_no_entries_match_nothing() -> None:
    one = np.zeros((1, 2))
    for found, true, radius in ((one, one, 0.0), (one[:0], one, 1.0), (one, one[:0], 1.0)):
        assert len(match_positions(found, true, radius=radius)[0]) == 0


def test_a_catalogue_matches_itself_whatever_its_order() -> None:
    rng = np.random.default_rng(1)
    places = rng.uniform(0, 500, (60, 2))
    order = rng.permutation(60)
    first, second = match_positions(places[order], places, radius=1.0)
    np.testing.assert_array_equal(order[first], second)
    assert len(first) == 60


def test_the_nearest_pair_goes_first() -> None:
    found, true = np.array([[0.0, 0], [1.0, 0]]), np.array([[0.9, 0.0]])
    first, second = match_positions(found, true, radius=2.0)
    assert (first.tolist(), second.tolist()) == ([1], [0])


def test_completeness_purity_and_f1() -> None:
    counts = Detections(10, 6, 8, 6)
    assert (counts.completeness, counts.purity) == (0.6, 0.75)
    assert counts.f1 == pytest.approx(2 * 0.6 * 0.75 / 1.35)
    assert counts + counts == Detections(20, 12, 16, 12)
    assert Detections(5, 5, 5, 5).f1 == 1
    assert Detections(5, 0, 0, 0).f1 == 0
    assert math.isnan(Detections(0, 0, 3, 0).f1)
    assert math.isnan(Detections(3, 0, 0, 0).purity)


def test_flux_scatter_of_gaussian_errors_is_their_deviation() -> None:
    rng = np.random.default_rng(2)
    true = np.full(40000, 100.0)
    errors = magnitude_errors(true * 10 ** (-0.4 * rng.normal(0.3, 0.1, true.size)), true)
    assert np.median(errors) == pytest.approx(0.3, abs=0.005)
    assert scatter(errors) == pytest.approx(0.1, abs=0.003)
    errors[:4000] = 50.0
    assert scatter(errors) == pytest.approx(0.1, abs=0.02)


def test_fluxes_that_are_not_positive_have_no_magnitude() -> None:
    errors = magnitude_errors([0.0, -1, 10, np.nan], [1.0, 1, 1, 1])
    np.testing.assert_array_equal(errors, [np.nan, np.nan, -2.5, np.nan])
    assert scatter(errors) == 0
    assert math.isnan(scatter([]))


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=20), st.floats(-5, 5))
def test_scatter_ignores_an_offset(errors: list[float], offset: float) -> None:
    assert scatter(np.add(errors, offset)) == pytest.approx(scatter(errors), abs=1e-9)


@given(IMAGES)
def test_soft_iou_is_bounded_and_symmetric(images: tuple[Any, Any]) -> None:
    a, b = images
    value = soft_iou(a, b)
    if math.isnan(value):
        assert a.max() <= 0
        assert b.max() <= 0
        return
    assert 0 <= value <= 1
    assert value == soft_iou(b, a)
    assert a.max() <= 0 or soft_iou(a, a) == pytest.approx(1)


def test_soft_iou_of_known_images() -> None:
    a = np.array([[4.0, 0, 0]])
    assert soft_iou(a, np.array([[0.0, 3, 0]])) == 0
    assert soft_iou(a, a / 2) == 0.5
    assert soft_iou([[2.0, 2, 0]], [[0.0, 2, 2]]) == pytest.approx(1 / 3)
    binary = np.array([[True, True, False]]), np.array([[False, True, True]])
    jaccard = np.sum(binary[0] & binary[1]) / np.sum(binary[0] | binary[1])
    assert soft_iou(*binary) == pytest.approx(jaccard)


@given(hnp.arrays(float, (3, 4), elements=st.floats(0, 9)), st.floats(0, 5))
def test_blendedness_grows_with_the_neighbor(own: Any, other: float) -> None:
    if own.sum() < 1e-3:
        assert math.isnan(blendedness(np.zeros_like(own), own))
        return
    assert blendedness(own, own) == pytest.approx(0, abs=1e-12)
    # Others with the same image and `other` times the flux own that share.
    assert blendedness(own, own * (1 + other)) == pytest.approx(other / (1 + other))
