"""Measures of probabilities: does what is stated come true as often as stated?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.evaluation.metrics.mask import ScoreCounts

__all__ = ["Reliability", "reliability"]

_WIDTH = np.log(10.0) / 2
"""Of a bin in log-odds: two bins a decade where probabilities are small."""
_BINS = 28
"""Probabilities from 1e-7 to 1 - 1e-7; what is beyond counts in the last bins."""
_LEAST = 5
"""Pixels of either kind, stated or observed, from which a frequency is told."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """Observed frequencies by stated probability, in bins of equal width in log-odds."""

    edges: NDArray[np.float64]
    """Probabilities at the edges of the bins, one more than bins."""
    pixels: NDArray[np.float64]
    """In each bin."""
    true: NDArray[np.float64]
    """Of these, those that are true."""
    stated: NDArray[np.float64]
    """Sum of the probabilities of each bin: how many should be true."""

    @property
    def is_told(self) -> NDArray[np.bool_]:
        """Bins with enough pixels, true and untrue, that a frequency means something."""
        positive = np.maximum(self.true, self.stated)
        negative = np.maximum(self.pixels - self.true, self.pixels - self.stated)
        return (positive >= _LEAST) & (negative >= _LEAST)

    @property
    def error(self) -> float:
        """Expected calibration error (Naeini, Cooper & Hauskrecht 2015, AAAI).

        ``sum_b n_b / n |observed_b - stated_b|``, here over bins of log-odds, because bins of
        equal width would put nearly every pixel of a rare class into one. NaN without pixels.
        """
        total = float(self.pixels.sum())
        return float(np.abs(self.true - self.stated).sum() / total) if total else float("nan")

    @property
    def excess(self) -> float:
        """Sum of all probabilities over the number of true pixels; NaN where none is true."""
        true = float(self.true.sum())
        return float(self.stated.sum() / true) if true else float("nan")


def reliability(counts: ScoreCounts) -> Reliability:
    """Sort pixels by their stated probability.

    Parameters
    ----------
    counts : ScoreCounts
        Of one class.

    Returns
    -------
    Reliability
        In 28 bins.
    """
    logit = counts.log_odds
    edges = (np.arange(_BINS + 1) - _BINS / 2) * _WIDTH
    place = np.clip(np.searchsorted(edges, logit, side="right") - 1, 0, _BINS - 1)
    pixels = (counts.positives + counts.negatives).astype(np.float64)
    probability = _probability(logit)

    def summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(place, values, minlength=_BINS).astype(np.float64)

    return Reliability(
        edges=_probability(edges),
        pixels=summed(pixels),
        true=summed(counts.positives.astype(np.float64)),
        stated=summed(pixels * probability),
    )


def _probability(logit: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-logit)))
