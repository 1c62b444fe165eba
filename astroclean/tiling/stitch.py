"""Put the cores of tiles back into one array, on the frame's grid or a finer one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from numpy.typing import NDArray

    from astroclean.tiling.plan import Tile

__all__ = ["put_core", "stitch"]


def put_core(target: NDArray[Any], tile: Tile, piece: NDArray[Any], *, scale: int = 1) -> None:
    """Write the core of one answered tile into the result.

    Parameters
    ----------
    target : (..., ny * scale, nx * scale)
        Result; modified in place, in the core of this tile alone.
    tile : Tile
        The tile that was asked.
    piece : (..., ty * scale, tx * scale)
        Answer for the whole tile. Not modified.
    scale : int
        Output pixels for each input pixel along an axis.

    Raises
    ------
    FrameError
        The answer has not the shape of the tile times ``scale``.
    """
    expected = tuple(side * scale for side in tile.shape)
    if piece.shape[-2:] != expected:
        raise FrameError(
            f"the answer for a tile of {tile.shape} pixels must be {expected} at scale {scale}",
            received=piece.shape[-2:],
        )
    y, x = (_scaled(part, scale) for part in tile.core)
    inner_y, inner_x = (_scaled(part, scale) for part in tile.trim)
    target[..., y, x] = piece[..., inner_y, inner_x]


def stitch(
    pieces: Iterable[tuple[Tile, NDArray[Any]]], *, shape: tuple[int, int], scale: int = 1
) -> NDArray[Any]:
    """Make one array of all answers.

    Parameters
    ----------
    pieces : iterable of (Tile, (..., ty * scale, tx * scale) array)
        Every tile of a plan once, in any order, with its answer.
    shape : (ny, nx)
        Of the frame that was planned for.
    scale : int
        Output pixels for each input pixel along an axis.

    Returns
    -------
    (..., ny * scale, nx * scale) array
        A new array of the type of the first answer.

    Raises
    ------
    FrameError
        No tile, tiles that do not cover the frame once, or a wrong shape.
    """
    target: NDArray[Any] | None = None
    covered = 0
    for tile, piece in pieces:
        if target is None:
            fine = (shape[0] * scale, shape[1] * scale)
            target = np.zeros((*piece.shape[:-2], *fine), dtype=piece.dtype)
        put_core(target, tile, piece, scale=scale)
        covered += (tile.core[0].stop - tile.core[0].start) * (
            tile.core[1].stop - tile.core[1].start
        )
    if target is None or covered != shape[0] * shape[1]:
        raise FrameError(f"tiles must cover the frame {shape} once", received=f"{covered} pixels")
    return target


def _scaled(part: slice, scale: int) -> slice:
    return slice(part.start * scale, part.stop * scale)
