"""Positions of the stamps of a PSF that varies: nodes of a rectangular grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.errors import PsfError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["check_nodes", "node_weights"]


def check_nodes(count: int, positions: NDArray[np.float64] | None) -> None:
    """Raise PsfError unless there is one stamp, or the positions are all nodes of a grid."""
    if positions is None:
        if count != 1:
            raise PsfError("several PSF stamps need a position each", received=count)
        return
    if positions.shape != (count, 2):
        raise PsfError(f"need {count} positions (x, y)", received=positions.shape)
    nodes = len(np.unique(positions[:, 0])) * len(np.unique(positions[:, 1]))
    if nodes != count or len(np.unique(positions, axis=0)) != count:
        raise PsfError("positions of PSF stamps must be all nodes of a rectangular grid")


def node_weights(positions: NDArray[np.float64], x: float, y: float) -> NDArray[np.float64]:
    """Return the bilinear weight of each node, (n,); beyond the grid that of its nearest point."""
    weights = np.ones(len(positions))
    for axis, value in enumerate((x, y)):
        nodes = np.unique(positions[:, axis])
        hats = np.array([np.interp(value, nodes, row) for row in np.eye(len(nodes))])
        weights *= hats[np.searchsorted(nodes, positions[:, axis])]
    return weights
