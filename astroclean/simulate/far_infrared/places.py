"""Where galaxies lie on the sky: clustered, more so those of like redshift."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.simulate.draws import power_law_field

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["clustered_places"]

_INDEX = -1.2
"""Of the power spectrum: the angular correlation then falls as angle^-0.8."""
_CELL = 6.0
"""Arcsec between values of the density."""
_SLICES = (0.6, 1.0, 1.4, 1.8, 2.3, 3.0)
"""Redshifts between slices, each of which clusters for itself."""


def clustered_places(
    rng: np.random.Generator,
    z: NDArray[np.float64],
    *,
    shape: tuple[int, int],
    pixel: float,
    strength: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw places.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    z : (n,) float64
        Redshifts.
    shape : (int, int)
        (ny, nx) of the grid that they lie on.
    pixel : float
        Side of its pixels, arcsec.
    strength : float
        Standard deviation of the logarithm of the density in cells of 6 arcsec, in a slice of
        redshift; 0: no clustering.

    Returns
    -------
    x, y : (n,) float64
        Pixels, anywhere on the grid.
    """
    ny, nx = shape
    x, y = rng.uniform(-0.5, nx - 0.5, z.size), rng.uniform(-0.5, ny - 0.5, z.size)
    if not strength > 0:
        return x, y
    step = _CELL / pixel
    cells = int(np.ceil(ny / step)), int(np.ceil(nx / step))
    slices = np.searchsorted(_SLICES, z)
    for one in range(len(_SLICES) + 1):
        members = np.flatnonzero(slices == one)
        density = np.exp(strength * power_law_field(rng, cells, index=_INDEX)).ravel()
        share = np.cumsum(density) / density.sum()
        chosen = np.minimum(np.searchsorted(share, rng.random(members.size)), density.size - 1)
        row, column = np.unravel_index(chosen, cells)
        for target, cell, side in ((x, column, nx), (y, row, ny)):
            drawn = (cell + rng.random(members.size)) * step - 0.5
            target[members] = np.minimum(drawn, side - 0.5)
    return x, y
