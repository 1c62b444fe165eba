"""Sources in what the network says: peaks of the probability."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean_spire_sr.predict import Prediction

    Values = NDArray[np.float64]

__all__ = ["Detections", "detections_of"]

_SIDE = 3
"""Pixels around a peak over which the probability of one source is spread, along a side."""


@dataclass(frozen=True, eq=False)
class Detections:
    """Sources, in pixels of 3 arcsec."""

    x: Values
    y: Values
    score: Values
    """Probability that there is a source in the 3 x 3 pixels, as the network says, 0 to 1."""
    log_flux: Values
    """Logarithm of the flux, mJy."""
    log_flux_error: Values

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Detections:
        """Return some of them."""
        return Detections(*(getattr(self, field.name)[rows] for field in fields(self)))


def detections_of(
    found: Prediction, known: NDArray[np.bool_], *, threshold: float, separation: float
) -> Detections:
    """Return sources, the most probable first.

    Parameters
    ----------
    found : Prediction
        Of the network.
    known : (ny, nx) bool
        Where 250 um was observed: elsewhere there are no sources.
    threshold : float
        Least score.
    separation : float
        Least distance, in pixels of 3 arcsec; the more probable of two is kept.
    """
    from scipy.ndimage import maximum_filter, uniform_filter  # noqa: PLC0415 - heavy
    from scipy.spatial import cKDTree  # noqa: PLC0415 - heavy

    score = _SIDE**2 * uniform_filter(found.probability.astype(np.float64), _SIDE, mode="constant")
    score = np.where(known, np.clip(score, 0, 1), 0)
    # Of equal scores, which clipping makes, the pixel of the highest probability is the peak.
    height = score + 1e-3 * found.probability
    peak = (height >= maximum_filter(height, _SIDE)) & (score >= threshold)
    row, column = np.nonzero(peak)
    order = np.argsort(-height[row, column], kind="stable")
    row, column = row[order], column[order]
    x, y = (
        middle + np.clip(shift[row, column], -1.5, 1.5)
        for middle, shift in ((column, found.dx), (row, found.dy))
    )
    kept = np.ones(len(x), dtype=bool)
    if len(x):
        tree = cKDTree(np.column_stack([x, y]))
        for first, second in sorted(tree.query_pairs(separation)):
            if kept[first]:
                kept[second] = False
    rows = np.flatnonzero(kept)
    row, column = row[rows], column[rows]
    return Detections(
        np.asarray(x[rows], dtype=float),
        np.asarray(y[rows], dtype=float),
        score[row, column],
        found.log_flux[row, column].astype(np.float64),
        found.log_flux_error[row, column].astype(np.float64),
    )
