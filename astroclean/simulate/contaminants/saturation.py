"""Saturation and bleeding (SATURATED): pixels at full well; the surplus runs along columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.planes import MaskPlane

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["add_saturation"]


def add_saturation(
    image: NDArray[np.float64], *, full_well: float, threshold: float = 0.0, bleeds: bool = True
) -> NDArray[np.uint32]:
    """Limit pixels to full well.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons; changed.
    full_well : float
        Electrons that a pixel holds at most.
    threshold : float
        Electrons; a pixel that takes more of a neighbour's surplus is true as well, full or not.
    bleeds : bool
        Whether surplus charge flows along the column, half up and half down, as in a CCD. None
        is lost but at the ends of the column. Otherwise it is lost, as in an infrared detector.

    Returns
    -------
    (ny, nx) uint32
        SATURATED where a pixel is full, or has taken surplus.
    """
    before = np.minimum(image, full_well)
    if bleeds:
        for x in np.flatnonzero((image > full_well).any(axis=0)):
            _bleed(image[:, x], full_well)
    np.minimum(image, full_well, out=image)
    is_true = (image >= full_well) | (image - before > threshold)
    return np.where(is_true, np.uint32(MaskPlane.SATURATED), np.uint32(0))


def _bleed(column: NDArray[np.float64], full_well: float) -> None:
    surplus = np.maximum(column - full_well, 0) / 2
    np.minimum(column, full_well, out=column)
    _flow(column, surplus, full_well)
    # A view backwards: the same pixels, the other way.
    _flow(column[::-1], surplus[::-1], full_well)


def _flow(column: NDArray[np.float64], surplus: NDArray[np.float64], full_well: float) -> None:
    """Let surplus flow to higher rows until pixels with room have taken it."""
    carried = 0.0
    for row in range(int(np.flatnonzero(surplus)[0]), column.size):
        carried += surplus[row]
        if carried <= 0:
            continue
        taken = min(carried, full_well - column[row])
        column[row] += taken
        carried -= taken
        # Rounding leaves crumbs that would be carried to the end of the column.
        if carried < 1e-6:  # noqa: PLR2004 - electrons
            carried = 0.0
            if not surplus[row + 1 :].any():
                return
