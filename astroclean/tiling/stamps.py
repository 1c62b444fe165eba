"""Stamps: small squares of pixels around positions, cut out of a frame and put back.

The places are those of `astropy.nddata.Cutout2D`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.image.arrays import overlap
from astroclean.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["StampBox", "add_stamps", "stamp_boxes"]


@dataclass(frozen=True, eq=False)
class StampBox:
    """A square of pixels, which may reach beyond the border of the frame."""

    y: int
    """First row; negative below the frame."""
    x: int
    """First column."""
    side: int
    """Pixels along a side."""

    def overlap(self, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return the slices of a frame (..., ny, nx), and those of the stamp, where both are."""
        return overlap((self.y, self.x), (self.side, self.side), shape[-2:])

    def cut(self, image: NDArray[Any], *, outside: Any) -> NDArray[Any]:
        """Return what the stamp shows of an image.

        Parameters
        ----------
        image : (..., ny, nx) array
            On the pixels of the frame. Not modified.
        outside : scalar
            Stands beyond the border.

        Returns
        -------
        (..., side, side) array
            A new array of the type of the image.
        """
        shown = np.full((*image.shape[:-2], self.side, self.side), outside, dtype=image.dtype)
        of_frame, of_stamp = self.overlap(image.shape)
        shown[(..., *of_stamp)] = image[(..., *of_frame)]
        return shown

    def put(
        self, target: NDArray[Any], values: NDArray[Any], where: NDArray[np.bool_] | None = None
    ) -> None:
        """Write a stamp into a frame.

        Parameters
        ----------
        target : (..., ny, nx) array
            Modified in place, where the stamp lies in it.
        values : (..., side, side) array
            Of the stamp. Not modified.
        where : (side, side) bool, optional
            The pixels that are written; by default all.
        """
        of_frame, of_stamp = self.overlap(target.shape)
        inside = slice(None) if where is None else where[of_stamp]
        place = target[(..., *of_frame)]
        place[..., inside] = values[(..., *of_stamp)][..., inside]

    def add(
        self, target: NDArray[Any], values: NDArray[Any], where: NDArray[np.bool_] | None = None
    ) -> None:
        """Add a stamp to a frame; parameters as of `put`."""
        of_frame, of_stamp = self.overlap(target.shape)
        inside = slice(None) if where is None else where[of_stamp]
        place = target[(..., *of_frame)]
        place[..., inside] += values[(..., *of_stamp)][..., inside]


def stamp_boxes(
    positions: NDArray[np.floating], side: int, *, origin: tuple[int, int] = (0, 0)
) -> list[StampBox]:
    """Return the stamps around positions.

    A position lies in the middle of its stamp, to half a pixel; on a tie the stamp lies lower.

    Parameters
    ----------
    positions : (n, 2) array
        x, y in pixels of the frame, finite.
    side : int
        Pixels along a side.
    origin : (int, int)
        (y, x) of the first pixel of the frame in a larger one. It decides nothing but how numbers
        are rounded: a stamp shows the same pixels, whatever part of a frame it is cut from.

    Returns
    -------
    list of StampBox
        n of them, in pixels of the frame.

    Raises
    ------
    FrameError
        A position is not finite.
    """
    places = np.asarray(positions, dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(places).all():
        raise FrameError(
            "a stamp needs a finite position",
            received=f"{np.count_nonzero(~np.isfinite(places).all(axis=1))} that are not",
        )
    first = np.ceil(places + np.array(origin[::-1]) - side / 2).astype(np.intp)
    first -= np.array(origin[::-1])
    return [StampBox(int(y), int(x), side) for x, y in first]


def add_stamps(
    target: NDArray[np.floating], boxes: Sequence[StampBox], stamps: Sequence[NDArray[Any]]
) -> None:
    """Add stamps that overlap to a frame, the same to the bit in whatever order they come.

    Parameters
    ----------
    target : (..., ny, nx) float array
        Modified in place.
    boxes : sequence of StampBox
        Places. Of two at the same one, the first comes first.
    stamps : sequence of (..., side, side) arrays
        One for each box. Not modified.
    """
    for index in sorted(range(len(boxes)), key=lambda k: (boxes[k].y, boxes[k].x)):
        boxes[index].add(target, stamps[index])
