"""Measures of catalogues of crowded, confused fields: matches, and what chance has of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["beyond_chance", "match_brightest", "told_bins", "told_error"]

_BINS = 10
"""Of stated probabilities, of equal width."""


def match_brightest(
    found: NDArray[np.floating],
    true: NDArray[np.floating],
    flux: NDArray[np.floating],
    *,
    radius: float,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pair entries of two catalogues one to one, the brightest true source first.

    Each true source takes the nearest entry within the radius that no brighter one has taken. In a
    field where the radius holds a faint source almost everywhere, the entry of a bright source is
    so not given to one of these, however near it lies.

    Parameters
    ----------
    found, true : (n, 2) and (m, 2) float
        (x, y) in one unit, that of ``radius``.
    flux : (m,) float
        Of the true sources.
    radius : float
        Largest distance.

    Returns
    -------
    found_index, true_index : 1-D int
        Rows of the pairs, from bright to faint.
    """
    if not len(found) or not len(true):
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    from scipy.spatial import cKDTree  # noqa: PLC0415 - slow to import

    near = cKDTree(found).sparse_distance_matrix(cKDTree(true), radius, output_type="ndarray")
    order = np.lexsort((near["i"], near["v"], near["j"], -np.asarray(flux, float)[near["j"]]))
    entry_taken, true_taken = np.zeros(len(found), dtype=bool), np.zeros(len(true), dtype=bool)
    pairs = []
    for entry, source in zip(near["i"][order].tolist(), near["j"][order].tolist(), strict=True):
        if not (entry_taken[entry] or true_taken[source]):
            entry_taken[entry] = true_taken[source] = True
            pairs.append((entry, source))
    both = np.array(pairs, dtype=np.intp).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def beyond_chance(share: Any, chance: Any) -> Any:
    """Return a share of matches freed of those by chance: ``(share - chance) / (1 - chance)``.

    Those that chance would match anyway tell nothing; of the others it is the share that is
    matched (as for the kappa of Cohen 1960, Educational and Psychological Measurement 20, 37).

    Parameters
    ----------
    share, chance : float or array_like
        Shares of matches, of the catalogue and of one that is shifted.

    Returns
    -------
    float or array
        0 for a catalogue that is no better than a shifted one; NaN where chance matches all.
    """
    share, chance = np.asarray(share, dtype=np.float64), np.asarray(chance, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        free = np.where(chance < 1, (share - chance) / (1 - chance), np.nan)
    return free if free.ndim else float(free)


def told_bins(
    told: NDArray[Any], true: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sort entries by a probability that they state, into ten bins of equal width.

    Parameters
    ----------
    told : (n,) float
        Stated, 0 to 1; those that are not finite do not count.
    true : (n,) float or bool
        What came true.

    Returns
    -------
    count, stated, observed : 1-D float
        Of the bins that are not empty: entries, mean of what they state, share that came true.
    """
    used = np.isfinite(told)
    place = np.clip((told[used] * _BINS).astype(int), 0, _BINS - 1)
    count, stated, observed = (
        np.bincount(place, weights, minlength=_BINS).astype(np.float64)
        for weights in (np.ones(len(place)), told[used], true[used])
    )
    full = count > 0
    return count[full], stated[full] / count[full], observed[full] / count[full]


def told_error(told: NDArray[Any], true: NDArray[Any]) -> float:
    """Return the expected calibration error of probabilities that entries state.

    ``sum_b n_b / n |observed_b - stated_b|`` (Naeini, Cooper & Hauskrecht 2015, AAAI) over the bins
    of :func:`told_bins`, whose parameters it has; NaN where nothing is stated.
    """
    count, stated, observed = told_bins(told, true)
    if not count.size:
        return float("nan")
    return float(np.average(np.abs(observed - stated), weights=count))
