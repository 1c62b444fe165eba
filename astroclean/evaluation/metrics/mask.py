"""Measures of masks: confusion counts, MCC, rates, ROC and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Confusion",
    "ScoreCounts",
    "area_under",
    "completeness_at",
    "confusion",
    "count_scores",
]

# Probabilities are counted in bins of equal width in log-odds: networks crowd at 0 and 1, where
# bins of equal width in probability would make everything one. float32 resolves 1 - p to 6e-8,
# log-odds of 16.6; what is below 4e-18 counts as 0.
_BINS = 65536
_LARGEST_LOGIT = 40.0


@dataclass(frozen=True)
class Confusion:
    """Counts of pixels by what is true and what was found; add two to pool frames."""

    hits: int = 0
    """True positives."""
    false_alarms: int = 0
    """False positives."""
    misses: int = 0
    """False negatives."""
    rest: int = 0
    """True negatives."""

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(
            self.hits + other.hits,
            self.false_alarms + other.false_alarms,
            self.misses + other.misses,
            self.rest + other.rest,
        )

    @property
    def positives(self) -> int:
        """Pixels that are truly set."""
        return self.hits + self.misses

    @property
    def tpr(self) -> float:
        """True positive rate, completeness: TP / (TP + FN); NaN where nothing is true."""
        return _ratio(self.hits, self.hits + self.misses)

    @property
    def fpr(self) -> float:
        """False positive rate: FP / (FP + TN); NaN where everything is true."""
        return _ratio(self.false_alarms, self.false_alarms + self.rest)

    @property
    def purity(self) -> float:
        """Precision: TP / (TP + FP); NaN where nothing was found."""
        return _ratio(self.hits, self.hits + self.false_alarms)

    @property
    def mcc(self) -> float:
        """Matthews correlation coefficient (Matthews 1975, BBA 405, 442).

        ``(TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN))``: 1 perfect, 0 as good as chance,
        -1 all wrong. 0 where all or no pixels were found; NaN where all or none are true.
        """
        return float(
            _mcc(*(float(n) for n in (self.hits, self.false_alarms, self.misses, self.rest)))
        )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _mcc(tp: Any, fp: Any, fn: Any, tn: Any) -> Any:
    """Return the coefficient of counts as floats: products of counts leave 64-bit integers."""
    true = (tp + fn) * (tn + fp)
    found = (tp + fp) * (tn + fn)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (tp * tn - fp * fn) / (np.sqrt(true) * np.sqrt(found))
    return np.where(true == 0, np.nan, np.where(found == 0, 0.0, value))


def confusion(
    found: NDArray[np.bool_], truth: NDArray[np.bool_], *, ignored: NDArray[np.bool_] | None = None
) -> Confusion:
    """Count the pixels of one plane.

    Parameters
    ----------
    found, truth : bool arrays of one shape
        What a method set, what is so.
    ignored : bool array, optional
        Pixels of which the truth is not known, or which nobody may judge.

    Returns
    -------
    Confusion
        Four counts, of the pixels that are not ignored.
    """
    used = np.ones(np.shape(truth), dtype=bool) if ignored is None else ~ignored
    total, true = int(np.count_nonzero(used)), int(np.count_nonzero(truth & used))
    hits = int(np.count_nonzero(found & truth & used))
    all_found = int(np.count_nonzero(found & used))
    return Confusion(hits, all_found - hits, true - hits, total - all_found - true + hits)


@dataclass(frozen=True, eq=False)
class ScoreCounts:
    """How many true and untrue pixels have each probability; add two to pool frames.

    Memory does not grow with the number of frames. Probabilities that differ by less than 0.0012
    in log-odds count as equal.
    """

    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]

    def __add__(self, other: ScoreCounts) -> ScoreCounts:
        return ScoreCounts(self.positives + other.positives, self.negatives + other.negatives)

    @property
    def log_odds(self) -> NDArray[np.float64]:
        """Log-odds in the middle of each bin, rising."""
        return ((np.arange(_BINS) + 0.5) / _BINS * 2 - 1) * _LARGEST_LOGIT

    def roc(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (FPR, TPR) for every threshold from "nothing is set" to "all is set".

        Returns
        -------
        fpr, tpr : 1-D float64
            Rising from 0 to 1; NaN where there is no negative or no positive.
        """
        return _rising(self.negatives), _rising(self.positives)

    def auc(self) -> float:
        """Area under the ROC curve: the chance that a true pixel scores above an untrue one.

        ``(number of pairs won + half of those tied) / (P N)`` (Hanley & McNeil 1982, Radiology
        143, 29). 0.5 for a constant; NaN where there is no positive or no negative.
        """
        positives, negatives = self.positives.sum(), self.negatives.sum()
        if not positives or not negatives:
            return float("nan")
        below = np.cumsum(self.negatives) - self.negatives
        won = np.sum(self.positives * (below + self.negatives / 2.0))
        return float(won / (float(positives) * float(negatives)))

    def best_mcc(self) -> float:
        """Return the highest MCC that any threshold reaches."""
        _, values = self.mcc_curve()
        return float(np.max(values)) if np.isfinite(values).all() else float("nan")

    def mcc_curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (threshold, MCC) from "nothing is set" to "all is set".

        Returns
        -------
        threshold, mcc : 1-D float64
            Probabilities from which a pixel is set, falling from 1 to 0; MCC is NaN where there
            is no positive or no negative.
        """
        tp = np.concatenate([[0], np.cumsum(self.positives[::-1])]).astype(float)
        fp = np.concatenate([[0], np.cumsum(self.negatives[::-1])]).astype(float)
        values: NDArray[np.float64] = _mcc(tp, fp, tp[-1] - tp, fp[-1] - fp)
        logit = np.linspace(_LARGEST_LOGIT, -_LARGEST_LOGIT, values.size)
        return 1 / (1 + np.exp(-logit)), values


def _rising(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    summed = np.concatenate([[0], np.cumsum(counts[::-1])]).astype(np.float64)
    return summed / summed[-1] if summed[-1] else np.full(summed.size, np.nan)


def count_scores(
    scores: NDArray[Any], truth: NDArray[np.bool_], *, ignored: NDArray[np.bool_] | None = None
) -> ScoreCounts:
    """Count true and untrue pixels by probability.

    Parameters
    ----------
    scores : float array
        Probabilities, 0 to 1; a mask counts as 0 and 1. Pixels that are NaN are ignored.
    truth : bool array of the same shape
        What is so.
    ignored : bool array, optional
        As for :func:`confusion`.

    Returns
    -------
    ScoreCounts
        Additive over frames.
    """
    values = np.asarray(scores, dtype=np.float64)
    used = np.isfinite(values) if ignored is None else np.isfinite(values) & ~ignored
    with np.errstate(divide="ignore"):  # the ends are infinite, and clipped
        logit = np.log(np.clip(values[used], 0, 1)) - np.log1p(-np.clip(values[used], 0, 1))
    place = (np.clip(logit, -_LARGEST_LOGIT, _LARGEST_LOGIT) / _LARGEST_LOGIT + 1) / 2
    bins = np.minimum((place * _BINS).astype(np.int64), _BINS - 1)
    true = np.asarray(truth, dtype=bool)[used]
    return ScoreCounts(
        np.bincount(bins[true], minlength=_BINS), np.bincount(bins[~true], minlength=_BINS)
    )


def completeness_at(fpr: Any, tpr: Any, *, limit: float) -> float:
    """Return the highest completeness that stays within a false positive rate.

    Parameters
    ----------
    fpr, tpr : array_like
        Operating points in any order: a ROC curve, or one point for each mask of a sweep over
        thresholds. Nothing is interpolated between them: no user can work there.
    limit : float
        Highest false positive rate, such as 1e-3.

    Returns
    -------
    float
        NaN where no point that finds anything at all stays within the limit.
    """
    rates, found = np.atleast_1d(fpr).astype(float), np.atleast_1d(tpr).astype(float)
    # "Nothing is set" is within any limit, and no answer.
    allowed = (rates <= limit) & (found > 0)
    return float(found[allowed].max()) if allowed.any() else float("nan")


def area_under(fpr: Any, tpr: Any) -> float:
    """Return the least area under a ROC curve that goes through some operating points.

    ``sum_i TPR_i (FPR_i+1 - FPR_i)``, from the first point to FPR = 1: a curve only rises, so it
    lies above these steps. As in :func:`completeness_at`, nothing is interpolated.

    Parameters
    ----------
    fpr, tpr : array_like
        Operating points in any order, one for each mask of a sweep; those that are not finite are
        left out. One below another of a lower rate counts as that.

    Returns
    -------
    float
        NaN without points.
    """
    x, y = np.atleast_1d(fpr).astype(float), np.atleast_1d(tpr).astype(float)
    used = np.isfinite(x) & np.isfinite(y)
    if not used.any():
        return float("nan")
    x, y = x[used], y[used]
    order = np.lexsort((y, x))
    widths = np.diff(np.append(x[order], 1.0))
    return float(np.sum(np.maximum.accumulate(y[order]) * widths))
