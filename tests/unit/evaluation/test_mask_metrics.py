"""Confusion counts, MCC and ROC against hand-made loops, analytic truths and their laws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from astroclean.evaluation.metrics.mask import (
    Confusion,
    area_under,
    completeness_at,
    confusion,
    count_scores,
)

SHAPES = hnp.array_shapes(min_dims=1, max_dims=2, min_side=2, max_side=12)
COUNTS = st.integers(0, 10**9)


def masks(number: int) -> Any:
    """Bool arrays of one shape."""
    return SHAPES.flatmap(lambda s: st.tuples(*[hnp.arrays(bool, s) for _ in range(number)]))


@given(masks(3))
def test_counts_equal_a_loop_over_pixels(arrays: tuple[Any, Any, Any]) -> None:
    found, truth, ignored = arrays
    hits = alarms = misses = rest = 0
    for f, t, i in zip(found.flat, truth.flat, ignored.flat, strict=True):
        if i:
            continue
        if f and t:
            hits += 1
        elif f:
            alarms += 1
        elif t:
            misses += 1
        else:
            rest += 1
    assert confusion(found, truth, ignored=ignored) == Confusion(hits, alarms, misses, rest)


@given(masks(2))
def test_mcc_is_the_correlation_of_both_masks(arrays: tuple[Any, Any]) -> None:
    found, truth = arrays
    value = confusion(found, truth).mcc
    if truth.all() or not truth.any():
        assert math.isnan(value)
    elif found.all() or not found.any():
        assert value == 0
    else:
        expected = np.corrcoef(found.ravel(), truth.ravel())[0, 1]
        assert value == pytest.approx(expected, abs=1e-12)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_mcc_is_bounded_and_symmetric_in_both_classes(tp: int, fp: int, fn: int, tn: int) -> None:
    value = Confusion(tp, fp, fn, tn).mcc
    if math.isnan(value):
        assert tp + fn == 0 or tn + fp == 0
        return
    assert -1 - 1e-12 <= value <= 1 + 1e-12
    assert Confusion(tn, fn, fp, tp).mcc == pytest.approx(value, abs=1e-12)
    assert Confusion(fn, tn, tp, fp).mcc == pytest.approx(-value, abs=1e-12)


def test_perfect_wrong_and_random_masks() -> None:
    rng = np.random.default_rng(5)
    truth = rng.random((400, 400)) < 0.2
    assert confusion(truth, truth).mcc == pytest.approx(1)
    assert confusion(~truth, truth).mcc == pytest.approx(-1)
    assert abs(confusion(rng.random(truth.shape) < 0.3, truth).mcc) < 0.01


def test_rates_of_a_known_case() -> None:
    counts = Confusion(6, 2, 4, 88)
    assert (counts.tpr, counts.fpr, counts.purity) == (0.6, 2 / 90, 0.75)
    assert counts.positives == 10
    assert counts + counts == Confusion(12, 4, 8, 176)
    assert math.isnan(Confusion(0, 0, 0, 5).tpr)
    assert math.isnan(Confusion(0, 0, 3, 5).purity)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), st.booleans()), min_size=2),
)
def test_auc_is_the_share_of_pairs_in_order(pixels: list[tuple[float, bool]]) -> None:
    scores, truth = (np.array(part) for part in zip(*pixels, strict=True))
    pairs = [(p > n) + (p == n) / 2 for p in scores[truth] for n in scores[~truth]]
    value = count_scores(scores, truth).auc()
    if pairs:
        assert value == pytest.approx(np.mean(pairs))
    else:
        assert math.isnan(value)


@pytest.mark.parametrize("constant", [0.0, 0.2, 1.0])
def test_auc_of_a_constant_is_one_half(constant: float) -> None:
    truth = np.arange(10) < 3
    assert count_scores(np.full(10, constant), truth).auc() == 0.5


@given(st.integers(0, 1000), st.floats(0.3, 3.0))
def test_auc_does_not_change_under_rising_maps(seed: int, power: float) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random(60) < 0.4
    scores = np.round(rng.random(60), 2)
    before, after = count_scores(scores, truth).auc(), count_scores(scores**power, truth).auc()
    assert after == pytest.approx(before, nan_ok=True)
    reversed_auc = count_scores(1 - scores, truth).auc()
    assert reversed_auc == pytest.approx(1 - before, nan_ok=True)


def test_roc_area_and_auc_agree_and_frames_are_pooled() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random((2, 5000)) < 0.1
    scores = 1 / (1 + np.exp(-(rng.normal(size=truth.shape) + 2 * truth)))
    both = count_scores(scores[0], truth[0]) + count_scores(scores[1], truth[1])
    fpr, tpr = both.roc()
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(tpr, fpr) == pytest.approx(both.auc(), abs=1e-12)
    assert both.auc() == pytest.approx(count_scores(scores, truth).auc())
    # Two Gaussians two deviations apart: the area is the normal integral up to sqrt(2).
    assert both.auc() == pytest.approx(0.5 * (1 + math.erf(1.0)), abs=0.01)


def test_best_mcc_is_that_of_the_best_threshold() -> None:
    rng = np.random.default_rng(3)
    truth = rng.random(300) < 0.3
    scores = np.round(np.clip(rng.normal(0.3 + 0.4 * truth, 0.2), 0, 1), 2)
    best = max(confusion(scores >= t, truth).mcc for t in np.unique(scores))
    assert count_scores(scores, truth).best_mcc() == pytest.approx(best)
    assert math.isnan(count_scores(scores, np.zeros(300, bool)).best_mcc())


def test_saturated_probabilities_stay_apart() -> None:
    scores = np.array([1 - 1e-7, 1 - 2e-7, 1e-12, 1e-11])
    truth = np.array([True, False, False, True])
    counts = count_scores(scores.astype(np.float64), truth)
    assert counts.auc() == 0.75


def test_scores_that_are_nan_or_ignored_do_not_count() -> None:
    scores, truth = np.array([0.9, np.nan, 0.1, 0.2]), np.array([True, True, False, True])
    ignored = np.array([False, False, False, True])
    counts = count_scores(scores, truth, ignored=ignored)
    assert (counts.positives.sum(), counts.negatives.sum()) == (1, 1)


def test_completeness_within_a_false_positive_rate() -> None:
    fpr, tpr = [0, 5e-5, 8e-4, 0.2, 1], [0, 0.3, 0.7, 0.95, 1]
    assert completeness_at(fpr, tpr, limit=1e-3) == 0.7
    assert completeness_at(fpr, tpr, limit=1e-4) == 0.3
    assert math.isnan(completeness_at(fpr, tpr, limit=1e-5))
    assert math.isnan(completeness_at(2e-3, 0.9, limit=1e-3))
    assert completeness_at(2e-4, 0.9, limit=1e-3) == 0.9


@given(st.integers(0, 10**6), st.lists(st.floats(0.01, 0.99), min_size=1, max_size=9))
def test_masks_of_a_sweep_tell_the_least_area(seed: int, thresholds: list[float]) -> None:
    rng = np.random.default_rng(seed)
    truth = np.arange(60) % 3 == 0
    scores = np.clip(rng.normal(0.4 + 0.2 * truth, 0.2), 0, 1)
    points = [confusion(scores > t, truth) for t in thresholds]
    areas = [
        area_under([p.fpr for p in points[:n]], [p.tpr for p in points[:n]])
        for n in range(1, len(points) + 1)
    ]
    assert np.all(np.diff(areas) >= -1e-12)
    assert areas[-1] <= count_scores(scores, truth).auc() + 1e-12


def test_the_area_of_all_thresholds_is_that_of_the_curve() -> None:
    counts = count_scores(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    assert area_under(*counts.roc()) == counts.auc() == 0.75
    assert math.isnan(area_under([np.nan], [1.0]))
