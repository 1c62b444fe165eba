"""Reliability: calibrated draws lie on the diagonal, and errors are those of hand-made loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astroclean.evaluation.metrics.calibration import reliability
from astroclean.evaluation.metrics.mask import count_scores


def test_what_is_drawn_with_its_probability_is_calibrated() -> None:
    rng = np.random.default_rng(1)
    stated = 10 ** rng.uniform(-5, 0, 400_000)
    found = reliability(count_scores(stated, rng.random(stated.size) < stated))
    told = found.is_told
    assert np.count_nonzero(told) >= 12
    spread = np.sqrt(np.maximum(found.stated, 1.0))[told]
    assert np.all(np.abs(found.true - found.stated)[told] < 5 * spread)
    assert found.excess == pytest.approx(1, abs=0.02)
    assert found.error < 1e-3


@given(st.integers(0, 10**6), st.floats(0.1, 10))
def test_counts_and_errors_equal_a_loop_over_bins(seed: int, bias: float) -> None:
    rng = np.random.default_rng(seed)
    odds = 10 ** rng.uniform(-6, 3, 300)
    stated, truth = odds / (1 + odds), rng.random(300) < odds * bias / (1 + odds * bias)
    found = reliability(count_scores(stated, truth))
    assert found.pixels.sum() == 300
    assert found.true.sum() == np.count_nonzero(truth)
    assert found.stated.sum() == pytest.approx(stated.sum(), rel=2e-3)
    error = 0.0
    for left, right in zip(found.edges, found.edges[1:], strict=False):
        inside = (stated >= left) & (stated < right)
        error += abs(np.count_nonzero(truth[inside]) - stated[inside].sum()) / 300
    # Pixels at an edge may count in either bin.
    assert found.error == pytest.approx(error, abs=0.01)
    assert 0 <= found.error <= 1


@pytest.mark.parametrize(("stated", "share"), [(0.3, 0.0), (0.001, 0.5), (0.9, 0.2)])
def test_a_constant_is_off_by_the_difference(stated: float, share: float) -> None:
    truth = np.arange(1000) < 1000 * share
    found = reliability(count_scores(np.full(1000, stated), truth))
    assert found.error == pytest.approx(abs(stated - share), rel=2e-3)
    if share:
        assert found.excess == pytest.approx(stated / share, rel=2e-3)
    else:
        assert math.isnan(found.excess)


def test_bins_with_few_pixels_tell_nothing() -> None:
    few = reliability(count_scores(np.full(4, 0.5), np.array([True, False, True, False])))
    assert not few.is_told.any()
    assert math.isnan(reliability(count_scores(np.zeros(0), np.zeros(0, bool))).error)
