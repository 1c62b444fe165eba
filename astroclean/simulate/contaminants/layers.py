"""What every contaminant does: add light to an image, and say where it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.planes import MaskPlane

__all__ = ["add_layer", "empty_planes"]


def empty_planes(shape: tuple[int, int]) -> NDArray[np.uint32]:
    """Return planes with no bit set."""
    return np.zeros(shape, dtype=np.uint32)


def add_layer(
    image: NDArray[np.float64],
    layer: NDArray[np.float64],
    plane: MaskPlane,
    *,
    threshold: float,
) -> NDArray[np.uint32]:
    """Add a layer to an image, in place, and return where it changed it by more than a threshold.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons; changed.
    layer : (ny, nx) float64
        Electrons to add.
    plane : MaskPlane
        Plane of the truth.
    threshold : float
        Electrons.

    Returns
    -------
    (ny, nx) uint32
        `plane` where ``abs(layer) > threshold``, else 0.
    """
    image += layer
    return np.where(np.abs(layer) > threshold, np.uint32(plane), np.uint32(0))
