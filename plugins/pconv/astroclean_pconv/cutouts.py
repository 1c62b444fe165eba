"""Cut-outs: small square views of a frame, each with the hole pixels that it is to fill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.errors import ConfigurationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Box = tuple[slice, slice]

__all__ = ["SIDE", "CutOut", "cut", "plan_cutouts"]

SIDE = 96
"""Pixels of a cut-out that networks are trained for (paper, section 2.4.1)."""


@dataclass(frozen=True, eq=False)
class CutOut:
    """A square view of a frame that may reach beyond its border."""

    y: int
    """First row; negative above the frame."""
    x: int
    """First column."""
    own: NDArray[np.bool_]
    """(side, side): pixels that are filled from this cut-out, and from no other."""

    def put(self, target: NDArray[Any], values: NDArray[Any]) -> None:
        """Write the pixels that this cut-out fills into a frame."""
        rows, columns = np.nonzero(self.own)
        target[rows + self.y, columns + self.x] = values[rows, columns]


def plan_cutouts(fill: NDArray[np.bool_], *, side: int, margin: int) -> list[CutOut]:
    """Return cut-outs that together fill each pixel of holes once.

    Holes that touch are one hole, and lie whole in one cut-out where they fit: centered, or, where
    they are small, with others of their neighbourhood. Larger ones (a bad column) are shared among
    cut-outs. The plan depends on the holes alone, not on the order in which they were found.

    Parameters
    ----------
    fill : (ny, nx) bool
        Pixels to fill, of any shape.
    side : int
        Of a cut-out, in pixels.
    margin : int
        Pixels that a cut-out shows around those that it fills, at least; less than half a side.

    Returns
    -------
    list of CutOut
        In the order of rows.

    Raises
    ------
    ConfigurationError
        The margins leave nothing of the cut-out.
    """
    from scipy.ndimage import find_objects, label  # noqa: PLC0415 - costs a fifth of a second

    core = side - 2 * margin
    if core < 1 or margin < 0:
        raise ConfigurationError(f"margins of {margin} pixels leave nothing of {side}")
    labels, _ = label(fill, np.ones((3, 3)))
    groups: dict[tuple[int, ...], list[tuple[int, Box]]] = {}
    for number, box in enumerate(find_objects(labels), start=1):
        lengths = [part.stop - part.start for part in box]
        if max(lengths) <= core // 2:
            # Two such boxes that begin in one cell fit into one core together.
            cell = (core + 1) // 2
            key: tuple[int, ...] = tuple(part.start // cell for part in box)
        else:
            key = (-number, 0)
        groups.setdefault(key, []).append((number, box))
    made = [one for members in groups.values() for one in _of_group(labels, members, side, core)]
    return sorted(made, key=lambda one: (one.y, one.x))


def _of_group(
    labels: NDArray[np.integer], members: list[tuple[int, Box]], side: int, core: int
) -> list[CutOut]:
    """Return the cut-outs of holes that are filled together."""
    numbers = [number for number, _ in members]
    low = [min(box[axis].start for _, box in members) for axis in (0, 1)]
    high = [max(box[axis].stop for _, box in members) for axis in (0, 1)]
    found = []
    for top in range(low[0], high[0], core):
        for left in range(low[1], high[1], core):
            bottom, right = min(top + core, high[0]), min(left + core, high[1])
            inside = np.isin(labels[top:bottom, left:right], numbers)
            if not inside.any():
                continue
            y, x = ((first + last - side) // 2 for first, last in ((top, bottom), (left, right)))
            own = np.zeros((side, side), dtype=bool)
            own[top - y : bottom - y, left - x : right - x] = inside
            found.append(CutOut(y, x, own))
    return found


def cut(image: NDArray[Any], one: CutOut, *, outside: Any) -> NDArray[Any]:
    """Return what a cut-out shows of an image.

    Parameters
    ----------
    image : (ny, nx) array
        A frame, or a mask.
    one : CutOut
        Where.
    outside : scalar
        Stands beyond the border.

    Returns
    -------
    (side, side) array
        A new array of the type of the image.
    """
    side = one.own.shape[0]
    shown = np.full((side, side), outside, dtype=image.dtype)
    ny, nx = image.shape
    top, left = max(one.y, 0), max(one.x, 0)
    bottom, right = min(one.y + side, ny), min(one.x + side, nx)
    if top < bottom and left < right:
        shown[top - one.y : bottom - one.y, left - one.x : right - one.x] = image[
            top:bottom, left:right
        ]
    return shown
