"""Measures of catalogues and of how light is shared among sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.sources.blendedness import blendedness

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Detections",
    "blendedness",
    "magnitude_errors",
    "match_positions",
    "scatter",
    "soft_iou",
]

_UNMATCHED = 2.0 + 1e-9
"""Cost of an entry without a partner: that of the radius, and a match at the radius goes first."""


@dataclass(frozen=True)
class Detections:
    """Counts of sources; add two to pool frames."""

    wanted: int = 0
    """True sources that should be found."""
    recovered: int = 0
    """Of these, those with a detection of their own."""
    found: int = 0
    """Entries of the catalogue."""
    genuine: int = 0
    """Of these, those with a true source of their own."""

    def __add__(self, other: Detections) -> Detections:
        return Detections(
            self.wanted + other.wanted,
            self.recovered + other.recovered,
            self.found + other.found,
            self.genuine + other.genuine,
        )

    @property
    def completeness(self) -> float:
        """``recovered / wanted``; NaN where none is wanted."""
        return self.recovered / self.wanted if self.wanted else float("nan")

    @property
    def purity(self) -> float:
        """``genuine / found``; NaN where none was found."""
        return self.genuine / self.found if self.found else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of completeness and purity; 0 where none was found, NaN if none wanted."""
        if not self.wanted:
            return float("nan")
        if not self.recovered or not self.genuine:
            return 0.0
        return 2 * self.completeness * self.purity / (self.completeness + self.purity)


def match_positions(
    found: NDArray[np.floating], true: NDArray[np.floating], *, radius: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pair entries of two catalogues, each at most once.

    The assignment is the one of the OSPA metric of order 2 (Schuhmacher, Vo & Vo 2008, IEEE
    Transactions on Signal Processing 56, 3447): the sum of squared distances is least, where an
    entry without a partner counts as if its distance were the radius.

    Parameters
    ----------
    found, true : (n, 2) and (m, 2) float
        (x, y) in pixels.
    radius : float
        Largest distance in pixels.

    Returns
    -------
    found_index, true_index : 1-D int
        Rows of the pairs, in order of distance.
    """
    nothing = np.empty(0, dtype=np.intp)
    if not len(found) or not len(true) or radius <= 0:
        return nothing, nothing
    from scipy.sparse import csr_array  # noqa: PLC0415 - slow to import
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching  # noqa: PLC0415 - same
    from scipy.spatial import cKDTree  # noqa: PLC0415 - same

    near = cKDTree(found).sparse_distance_matrix(cKDTree(true), radius, output_type="ndarray")
    count, alone = len(found), np.arange(len(found))
    # Each entry has a partner of its own that stands for none, so that a matching is always whole.
    # One is added to every cost, because a sparse matrix takes a cost of zero for no edge.
    costs = np.concatenate([1 + (near["v"] / radius) ** 2, np.full(count, _UNMATCHED)])
    # SciPy before 1.15 keeps indices of 64 bits, which its matching does not take.
    rows = np.concatenate([near["i"], alone]).astype(np.int32)
    columns = np.concatenate([near["j"], len(true) + alone]).astype(np.int32)
    graph = csr_array((costs, (rows, columns)), shape=(count, len(true) + count))
    first, second = min_weight_full_bipartite_matching(graph)
    first, second = first[second < len(true)], second[second < len(true)]
    order = np.lexsort((second, first, np.hypot(*(found[first] - true[second]).T)))
    return first[order].astype(np.intp), second[order].astype(np.intp)


def magnitude_errors(found: Any, true: Any) -> NDArray[np.float64]:
    """Return ``dm = -2.5 log10(found / true)``; NaN where a flux is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.asarray(found, dtype=np.float64) / np.asarray(true, dtype=np.float64)
        errors: NDArray[np.float64] = np.where(ratio > 0, -2.5 * np.log10(ratio), np.nan)
    return errors


def scatter(errors: Any) -> float:
    """Return ``1.4826 median |dm - median dm|``: a standard deviation that outliers leave alone.

    NaN where no value is finite.
    """
    from astropy.stats import mad_std  # noqa: PLC0415 - heavy

    values = np.asarray(errors, dtype=np.float64)
    values = values[np.isfinite(values)]
    return float(mad_std(values)) if values.size else float("nan")


def soft_iou(found: NDArray[Any], true: NDArray[Any]) -> float:
    """Return the intersection over union of two images of one source.

    ``sum min(a, b) / sum max(a, b)`` of what is above zero (the Ruzicka similarity): 1 for the
    same light, 0 where no pixel is shared. NaN for two empty images.
    """
    a, b = (np.maximum(np.asarray(i, dtype=np.float64), 0) for i in (found, true))
    union = float(np.sum(np.maximum(a, b)))
    return float(np.sum(np.minimum(a, b))) / union if union > 0 else float("nan")
