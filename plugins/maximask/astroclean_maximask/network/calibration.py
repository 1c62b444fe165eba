"""Make the answers of a network probabilities, and find its thresholds, on validation samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.evaluation.metrics.mask import ScoreCounts

__all__ = ["best_threshold", "calibrate"]

_STEPS = 50
_FLATTEST = 0.05
_EVEN, _LEARNED = 0.5, 0.2
_RIDGE = 1e-3
"""Prior of one pixel or so on no change: a class that the samples hardly have stays as it is."""


def calibrate(counts: ScoreCounts) -> tuple[float, float]:
    """Return the line that makes logits those of probabilities.

    Logistic regression of the truth on the logit (Platt 1999), by Newton's method: training weighs
    rare classes more than they are frequent, and this undoes it.

    Parameters
    ----------
    counts : ScoreCounts
        Of one class, on samples with the frequencies that probabilities shall mean.

    Returns
    -------
    slope, offset : float
        ``slope * logit + offset``; (1, 0) where a class has no true or no untrue pixel.
    """
    total = (counts.positives + counts.negatives).astype(np.float64)
    if not counts.positives.any() or not counts.negatives.any():
        return 1.0, 0.0
    design = np.stack([counts.log_odds, np.ones(total.size)])
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
        typical = counts.log_odds @ total / total.sum()
        return _FLATTEST, float(np.log(prior / (1 - prior)) - _FLATTEST * typical)
    return float(line[0]), float(line[1])


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -500, 500))))


def best_threshold(counts: ScoreCounts, line: tuple[float, float]) -> float:
    """Return the calibrated probability above which flags have the highest MCC.

    Parameters
    ----------
    counts : ScoreCounts
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
    limits, mcc = counts.mcc_curve()
    best = int(np.nanargmax(mcc)) if np.isfinite(mcc).any() else 0
    if not mcc[best] >= _LEARNED:
        return _EVEN
    edge = np.log(limits[best]) - np.log1p(-limits[best])
    return float(_sigmoid(np.array(line[0] * edge + line[1])))
