"""Calibrated answers are probabilities: of pixels with 0.3, three in ten are true."""

from __future__ import annotations

import numpy as np
import pytest
from astroclean_maximask.network.calibration import best_threshold, calibrate

from astroclean.evaluation.metrics.mask import ScoreCounts, confusion, count_scores


def count_logits(logits: np.ndarray, truth: np.ndarray) -> ScoreCounts:
    """Count by the probabilities that belong to logits."""
    return count_scores(1 / (1 + np.exp(-logits.astype(np.float64))), truth)


def drawn(seed: int, slope: float, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are wrong by a line, and what is true of their pixels."""
    rng = np.random.default_rng(seed)
    true_logits = rng.normal(-3, 2.5, 200_000)
    truth = rng.random(true_logits.size) < 1 / (1 + np.exp(-true_logits))
    return ((true_logits - offset) / slope).astype(np.float32), truth


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.6, -2.0), (1.7, 1.0)])
def test_the_line_that_was_wrong_is_found(slope: float, offset: float) -> None:
    logits, truth = drawn(1, slope, offset)
    found = calibrate(count_logits(logits, truth))
    np.testing.assert_allclose(found, (slope, offset), atol=0.06)
    other, other_truth = drawn(2, slope, offset)
    probability = 1 / (1 + np.exp(-(found[0] * other + found[1])))
    for low in (0.05, 0.3, 0.6):
        inside = (probability > low) & (probability < low + 0.1)
        assert abs(other_truth[inside].mean() - probability[inside].mean()) < 0.03


def test_the_threshold_has_the_highest_mcc() -> None:
    logits, truth = drawn(3, 0.8, -1.0)
    counts = count_logits(logits, truth)
    line = calibrate(counts)
    probability = 1 / (1 + np.exp(-(line[0] * logits + line[1])))
    at_best = confusion(probability > best_threshold(counts, line), truth).mcc
    others = [confusion(probability > t, truth).mcc for t in (0.1, 0.2, 0.3, 0.5, 0.7)]
    assert at_best >= max(others) - 1e-3


def test_a_class_that_is_never_true_stays_as_it_is() -> None:
    counts = count_logits(np.linspace(-5, 5, 100, dtype=np.float32), np.zeros(100, dtype=bool))
    assert calibrate(counts) == (1.0, 0.0)
    assert best_threshold(counts, (1.0, 0.0)) == 0.5


def test_a_class_that_was_not_learned_is_not_flagged() -> None:
    """Else the best of bad thresholds would flag the whole frame."""
    rng = np.random.default_rng(5)
    truth = rng.random(100_000) < 1e-3
    counts = count_logits(rng.normal(-5, 0.3, truth.size).astype(np.float32), truth)
    line = calibrate(counts)
    assert best_threshold(counts, line) == 0.5
    logits = np.array([-6.0, -4.0])
    assert (1 / (1 + np.exp(-(line[0] * logits + line[1]))) < 0.5).all()


def test_logits_that_say_the_opposite_leave_the_frequency() -> None:
    rng = np.random.default_rng(6)
    truth = rng.random(50_000) < 0.01
    logits = np.where(truth, -6.0, 2.0) + rng.normal(0, 1, truth.size)
    slope, offset = calibrate(count_logits(logits.astype(np.float32), truth))
    probability = 1 / (1 + np.exp(-(slope * logits + offset)))
    assert slope > 0
    assert abs(probability.mean() - 0.01) < 2e-3
