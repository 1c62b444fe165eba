"""The catalogue of the variant `talk`: peaks of its map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u

from astroclean.core.sources.columns import catalogue_table
from astroclean_spire_sr.catalogue import COLUMNS

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

__all__ = ["LEAST", "peak_catalogue"]

LEAST = 2.0
"""mJy a beam of the faintest peak that is listed."""
_SIDE = 7
"""Pixels of 1 arcsec; no two peaks are in one box of this side: the beam is 7.9 wide."""
_MEANINGS = {
    "id": "number of the source",
    "x": "position, pixels of the fine grid; the first center is 0",
    "y": "position, pixels of the fine grid; the first center is 0",
    "flux": "at 450 um: the peak of the map",
    "flux_err": "not told by the variant `talk`",
    "snr": "not told by the variant `talk`",
    "reliability": "not told by the variant `talk`",
    "completeness": "not told by the variant `talk`",
}


def peak_catalogue(image: NDArray[np.floating]) -> QTable:
    """Return the peaks of a map.

    Parameters
    ----------
    image : (ny, nx) float
        mJy a beam on pixels of 1 arcsec; NaN where not known.

    Returns
    -------
    QTable
        A row a peak of 2 mJy a beam or more, brightest first; columns as of
        `astroclean_spire_sr.catalogue.COLUMNS`. Positions and heights are those of parabolas
        through a pixel and its neighbors. All but they is NaN: the network tells no errors.
    """
    from scipy.ndimage import label, maximum_filter, maximum_position  # noqa: PLC0415 - heavy

    filled = np.where(np.isfinite(image), image, 0).astype(np.float64)
    is_peak = (filled >= maximum_filter(filled, _SIDE, mode="nearest")) & (filled >= LEAST)
    # Equal neighbors, which a saturated sigmoid makes, are one peak.
    labels, count = label(is_peak, np.ones((3, 3)))
    places = maximum_position(filled, labels, np.arange(1, count + 1)) if count else []
    row, column = np.array(places, dtype=int).reshape(-1, 2).T
    # Mirrored, so that no peak is placed beyond the border; places are one higher there.
    padded = np.pad(filled, 1, mode="reflect")
    dy, over = _top(*(padded[row + step, column + 1] for step in range(3)))
    dx, beyond = _top(*(padded[row + 1, column + step] for step in range(3)))
    flux = filled[row, column] + over + beyond
    order = np.argsort(-flux, kind="stable")
    values = {
        "id": np.arange(1, count + 1),
        "x": (column + dx)[order],
        "y": (row + dy)[order],
        "flux": flux[order] * u.mJy,
        "flux_err": np.full(count, np.nan) * u.mJy,
    }
    values |= {name: np.full(count, np.nan) for name in COLUMNS[len(values) :]}
    return catalogue_table(values, meanings=_MEANINGS)


def _top(
    before: NDArray[np.float64], at: NDArray[np.float64], after: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the top of a parabola is, from the middle, and how far it lies above it."""
    bend = np.minimum(before + after - 2 * at, -1e-12)
    slope = (after - before) / 2
    place = np.clip(-slope / bend, -0.5, 0.5)
    return place, slope * place + bend * place**2 / 2
