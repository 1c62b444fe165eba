"""What every contaminant does: add light to an image, and say where it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["add_layer", "empty_planes"]


def empty_planes(shape: tuple[int, int]) -> NDArray[np.uint32]:
    """Return planes with no bit set."""
    return np.zeros(shape, dtype=np.uint32)


def add_layer(
    image: NDArray[np.float64],
    layer: NDArray[np.float64],
    plane: MaskPlane,
    *,
    noise: float,
    threshold: float,
    contrast: float = 0.0,
    doubt: tuple[float, float] = (0.0, 0.0),
) -> NDArray[np.uint32]:
    """Add a layer to an image, in place, and return where that can be seen.

    The photons of what lies beneath hide a layer, as their noise does in the sky.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons, most of its pixels empty sky; changed.
    layer : (ny, nx) float64
        Electrons to add.
    plane : MaskPlane
        Plane of the truth.
    noise : float
        Standard deviation of empty sky, electrons.
    threshold : float
        Least change, in standard deviations of the pixel without the layer.
    contrast : float
        Least change as a part of the light beneath, for what would be taken for that.
    doubt : (float, float)
        Changes, in the unit of ``threshold``, between which the truth is a matter of taste.

    Returns
    -------
    (ny, nx) uint32
        `plane` where the layer changes the image by more than that, else 0; with SUSPECT where
        that is in doubt.
    """
    beneath = np.maximum(image - np.median(image), 0)
    spread, change = np.sqrt(noise**2 + beneath), np.abs(layer)
    least = threshold * spread + contrast * beneath
    image += layer
    planes = np.where(change > least, np.uint32(plane), np.uint32(0))
    in_doubt = (change > doubt[0] * spread) & (change < doubt[1] * spread)
    planes[in_doubt] |= np.uint32(MaskPlane.SUSPECT)
    return planes
