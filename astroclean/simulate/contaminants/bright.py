"""Bright background (BRIGHT): pixels of bright stars and galaxies, which are no contamination."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["bright_planes"]


def bright_planes(
    light: NDArray[np.float64], *, noise: float, threshold: float = 10.0
) -> NDArray[np.uint32]:
    """Return where sources are bright; nothing is added.

    Parameters
    ----------
    light : (ny, nx) float64
        Electrons of all sources without sky and noise.
    noise : float
        Standard deviation of empty sky, electrons.
    threshold : float
        In units of the noise.

    Returns
    -------
    (ny, nx) uint32
        BRIGHT above the threshold.
    """
    return np.where(light > threshold * noise, np.uint32(MaskPlane.BRIGHT), np.uint32(0))
