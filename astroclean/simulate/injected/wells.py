"""Full wells (SATURATED): surplus that runs along columns, blooms to all sides, or is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.simulate.injected.ground import Chip

__all__ = ["filled_wells"]

_BLOOMS = 60
"""Steps by which surplus spreads."""


def filled_wells(
    rng: np.random.Generator, image: NDArray[np.float64], chip: Chip, *, noise: float
) -> tuple[NDArray[np.float64], NDArray[np.uint32]]:
    """Return what wells hold.

    Parameters
    ----------
    rng : Generator
        Source of chance: how the surplus goes, unequal wells.
    image : (ny, nx) float64
        Electrons. Not modified.
    chip : Chip
        Full well, and the level that the header calls saturated.
    noise : float
        Standard deviation of the empty sky, electrons.

    Returns
    -------
    image : (ny, nx) float64
        Electrons.
    planes : (ny, nx) uint32
        SATURATED where a pixel is at the header's level, or took more than `noise` of surplus.
    """
    wells = chip.well * (1 - 0.02 * rng.random((1, image.shape[1])))
    way = rng.choice(["columns", "columns", "columns", "blooms", "lost"])
    held = np.minimum(image, wells)
    surplus = image - held
    after = held
    if way == "columns" and surplus.any():
        after = _along_columns(held, surplus, wells, up=float(rng.uniform(0.3, 0.7)))
    elif way == "blooms" and surplus.any():
        after = _bloomed(held, surplus, wells)
    full = (after >= chip.level) | (after - held > noise)
    return after, np.where(full, np.uint32(MaskPlane.SATURATED), np.uint32(0))


def _along_columns(
    held: NDArray[np.float64],
    surplus: NDArray[np.float64],
    wells: NDArray[np.float64],
    *,
    up: float,
) -> NDArray[np.float64]:
    """Return wells after surplus went along columns, a share `up` to higher rows, row by row."""
    after = held.copy()
    columns = surplus.any(axis=0)
    part, spill, top = after[:, columns], surplus[:, columns], wells[:, columns][0]
    for share, rows in ((up, range(len(part))), (1 - up, range(len(part) - 1, -1, -1))):
        carried = np.zeros(part.shape[1])
        for row in rows:
            carried += share * spill[row]
            taken = np.minimum(carried, np.maximum(top - part[row], 0))
            part[row] += taken
            carried -= taken
    after[:, columns] = part
    return after


def _bloomed(
    held: NDArray[np.float64], surplus: NDArray[np.float64], wells: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return wells after surplus went to the four neighbors, again and again; the rest is lost."""
    from scipy.ndimage import convolve  # noqa: PLC0415 - slow to import

    cross = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]) / 4
    after, moving = held.copy(), np.minimum(surplus, 20 * wells)
    for _ in range(_BLOOMS):
        moving = convolve(moving, cross, mode="constant")
        taken = np.minimum(moving, wells - after)
        after += taken
        moving -= taken
    return after
