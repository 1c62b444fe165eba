"""Measures of catalogues of crowded fields: blends taken for one source, sources entered twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Catalogues", "duplicate_pairs", "unrecognized_blends"]


@dataclass(frozen=True, eq=False)
class Catalogues:
    """Entries and true sources of one frame, and how they were matched."""

    found: NDArray[np.float64]
    """(n, 2), (x, y) in pixels."""
    true: NDArray[np.float64]
    """(m, 2), likewise; those too faint to be wanted among them."""
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]]
    """Rows of either that belong together."""
    radius: float
    """Farthest match in pixels."""


def unrecognized_blends(catalogues: Catalogues, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which entries stand for more than one source that should be found.

    Such an entry is matched with a true source, and within the match radius of the entry or of
    that source lies another true source which should be found and has no entry of its own.

    Parameters
    ----------
    catalogues : Catalogues
        Of one frame.
    wanted : (m,) bool
        True sources that should be found.

    Returns
    -------
    (n,) bool
        Of each entry.
    """
    from scipy.spatial import cKDTree  # noqa: PLC0415 - slow to import

    found, true = catalogues.pairs
    hidden = wanted.copy()
    hidden[true] = False
    blended = np.zeros(len(catalogues.found), dtype=bool)
    if not hidden.any() or not len(found):
        return blended
    tree = cKDTree(catalogues.true[hidden])
    reach = catalogues.radius * (1 + 1e-12)
    for places in (catalogues.found[found], catalogues.true[true]):
        apart, _ = tree.query(places, distance_upper_bound=reach)
        blended[found] |= np.isfinite(apart)
    return blended


def duplicate_pairs(catalogues: Catalogues, *, apart: float) -> NDArray[np.intp]:
    """Return pairs of entries that are one true source entered twice, as at seams of tiles.

    Both lie closer together than ``apart``, the same true source is the nearest of both within the
    match radius, and not each of them has a true source of its own.

    Parameters
    ----------
    catalogues : Catalogues
        Of one frame.
    apart : float
        Pixels.

    Returns
    -------
    (k, 2) int
        Rows of the catalogue.
    """
    from scipy.spatial import cKDTree  # noqa: PLC0415 - slow to import

    if not len(catalogues.found) or not len(catalogues.true):
        return np.empty((0, 2), dtype=np.intp)
    close = cKDTree(catalogues.found).query_pairs(apart, output_type="ndarray")
    away, nearest = cKDTree(catalogues.true).query(catalogues.found)
    one, two = close.T
    same = (nearest[one] == nearest[two]) & (away[close].max(axis=1) <= catalogues.radius)
    genuine = np.zeros(len(catalogues.found), dtype=bool)
    genuine[catalogues.pairs[0]] = True
    return np.asarray(close[same & ~(genuine[one] & genuine[two])], dtype=np.intp)
