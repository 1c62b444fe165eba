"""Saturation and bleeding (SATURATED): pixels at full well; the surplus runs along columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from astroclean.core.flags.planes import MaskPlane
from astroclean.simulate.arrays import namespace, running_minimum

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["add_saturation", "fill_wells"]

_CRUMB = 1e-6
"""Electrons that are rounding and no charge."""


def add_saturation(
    image: NDArray[np.float64], *, full_well: float, threshold: float = 0.0, bleeds: bool = True
) -> NDArray[np.uint32]:
    """Limit pixels to full well.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons; changed.
    full_well, threshold, bleeds
        As for :func:`fill_wells`.

    Returns
    -------
    (ny, nx) uint32
        SATURATED where a pixel is full, or has taken surplus.
    """
    filled, planes = fill_wells(image, full_well, threshold=threshold, bleeds=bleeds)
    image[...] = filled
    found: NDArray[np.uint32] = planes.astype("uint32")
    return found


def fill_wells(
    image: Any, full_well: Any, *, threshold: Any = 0.0, bleeds: Any = True
) -> tuple[Any, Any]:
    """Limit pixels to full well, for numpy arrays and torch tensors.

    Parameters
    ----------
    image : (..., ny, nx) float
        Electrons.
    full_well : float or array that broadcasts
        Electrons that a pixel holds at most; one value a column.
    threshold : float or array that broadcasts
        Electrons; a pixel that takes more of a neighbour's surplus is true as well, full or not.
    bleeds : bool or array that broadcasts
        Whether surplus charge flows along the column, half up and half down, as in a CCD. None
        is lost but at the ends of the column. Otherwise it is lost, as in an infrared detector.

    Returns
    -------
    image : (..., ny, nx) float
        A new array.
    planes : (..., ny, nx) int32
        SATURATED where a pixel is full, or has taken surplus.
    """
    xp = namespace(image)
    wells = xp.broadcast_to(xp.asarray(full_well, dtype=image.dtype), image.shape)
    before = xp.minimum(image, wells)
    after = before * 1
    spills = (image > wells) & xp.broadcast_to(xp.asarray(bleeds), image.shape)
    columns = spills.any(-2)
    if columns.any():
        upright, target = xp.swapaxes(image, -1, -2), xp.swapaxes(after, -1, -2)
        level = xp.swapaxes(wells, -1, -2)[columns]
        target[columns] = _bled(upright[columns], level)
    is_true = (after >= wells) | (after - before > threshold)
    return after, is_true * xp.asarray(int(MaskPlane.SATURATED), dtype=xp.int32)


def _bled(columns: Any, level: Any) -> Any:
    """Return columns (n, ny) with their surplus flown both ways."""
    xp = namespace(columns)
    # Sums along a column cancel to a crumb of what they hold, so they need the digits.
    exact, top = (xp.asarray(part, dtype=xp.float64) for part in (columns, level))
    surplus = xp.clip(exact - top, 0, None) / 2
    full = _flown(xp.minimum(exact, top), surplus, top)
    backwards = _flown(xp.flip(full, (-1,)), xp.flip(surplus, (-1,)), top)
    return xp.asarray(xp.minimum(xp.flip(backwards, (-1,)), top), dtype=columns.dtype)


def _flown(columns: Any, surplus: Any, level: Any) -> Any:
    """Let surplus flow to higher rows until pixels with room have taken it.

    What a row passes on is ``c_i = max(0, c_i-1 + s_i - r_i)`` with surplus s and room r, the
    queue of Lindley (1952): ``c_i = S_i - min(0, min_j<=i S_j)`` with the sums S of s - r.
    """
    xp = namespace(columns)
    total = xp.cumsum(surplus - (level - columns), -1)
    carried = total - xp.clip(running_minimum(total), None, 0)
    carried = xp.where(carried < _CRUMB, 0.0 * carried, carried)
    arriving = xp.roll(carried, 1, -1)
    arriving[..., 0] = 0
    return columns + xp.clip(arriving + surplus - carried, 0, None)
