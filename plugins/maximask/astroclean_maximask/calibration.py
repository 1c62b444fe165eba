"""Make the answers of a network probabilities, and find its thresholds, on validation samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LogitCounts", "best_threshold", "calibrate", "count_logits"]

_LARGEST = 30.0
_BINS = 6000
_CENTERS = (np.arange(_BINS) + 0.5) / _BINS * 2 * _LARGEST - _LARGEST
_STEPS = 50
_FLATTEST = 0.05
_EVEN, _LEARNED = 0.5, 0.2
_RIDGE = 1e-3
"""Prior of one pixel or so on no change: a class that the samples hardly have stays as it is."""


@dataclass(frozen=True, eq=False)
class LogitCounts:
    """How many true and untrue pixels have each logit; add two to pool tiles."""

    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]

    def __add__(self, other: LogitCounts) -> LogitCounts:
        return LogitCounts(self.positives + other.positives, self.negatives + other.negatives)


def count_logits(logits: NDArray[np.float32], truth: NDArray[np.bool_]) -> LogitCounts:
    """Count the pixels of one class.

    Parameters
    ----------
    logits : float32 array
        Answers before the sigmoid.
    truth : bool array of the same shape
        What is so.

    Returns
    -------
    LogitCounts
        Additive.
    """
    place = (np.clip(logits, -_LARGEST, _LARGEST - 1e-3) + _LARGEST) / (2 * _LARGEST)
    bins = (place * _BINS).astype(np.int64)
    return LogitCounts(
        np.bincount(bins[truth], minlength=_BINS), np.bincount(bins[~truth], minlength=_BINS)
    )


def calibrate(counts: LogitCounts) -> tuple[float, float]:
    """Return the line that makes logits those of probabilities.

    Logistic regression of the truth on the logit (Platt 1999), by Newton's method: training weighs
    rare classes more than they are frequent, and this undoes it.

    Parameters
    ----------
    counts : LogitCounts
        Of one class, on samples with the frequencies that probabilities shall mean.

    Returns
    -------
    slope, offset : float
        ``slope * logit + offset``; (1, 0) where a class has no true or no untrue pixel.
    """
    total = (counts.positives + counts.negatives).astype(np.float64)
    if not counts.positives.any() or not counts.negatives.any():
        return 1.0, 0.0
    design = np.stack([_CENTERS, np.ones(_BINS)])
    line = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        expected = _sigmoid(line @ design)
        slopes = design @ (counts.positives - total * expected) - _RIDGE * (line - [1.0, 0.0])
        curvature = (design * (total * expected * (1 - expected))) @ design.T + _RIDGE * np.eye(2)
        change = np.linalg.solve(curvature, slopes)
        line = line + np.clip(change, -1, 1)
        if np.abs(change).max() < 1e-6:  # noqa: PLR2004 - converged
            break
    if line[0] < _FLATTEST:
        # The logits say nothing of the class: its frequency is all that is known.
        prior = counts.positives.sum() / total.sum()
        return _FLATTEST, float(np.log(prior / (1 - prior)) - _FLATTEST * _typical(total))
    return float(line[0]), float(line[1])


def _typical(total: NDArray[np.float64]) -> float:
    return float(_CENTERS @ total / total.sum())


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -500, 500))))


def best_threshold(counts: LogitCounts, line: tuple[float, float]) -> float:
    """Return the calibrated probability above which flags have the highest MCC.

    Parameters
    ----------
    counts : LogitCounts
        Of one class.
    line : (float, float)
        From `calibrate`.

    Returns
    -------
    float
        0.5 where a class has no true pixel, or where no threshold reaches an MCC of 0.2: what was
        not learned is not flagged.
    """
    if not counts.positives.any():
        return _EVEN
    tp = np.cumsum(counts.positives[::-1])[::-1].astype(np.float64)
    fp = np.cumsum(counts.negatives[::-1])[::-1].astype(np.float64)
    fn, tn = tp[0] - tp, fp[0] - fp
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.sqrt((tp + fp) * (tp + fn)) * np.sqrt((tn + fp) * (tn + fn))
        mcc = np.nan_to_num((tp * tn - fp * fn) / found)
    if mcc.max() < _LEARNED:
        return _EVEN
    edge = _CENTERS[int(np.argmax(mcc))] - _LARGEST / _BINS
    return float(_sigmoid(np.array(line[0] * edge + line[1])))
