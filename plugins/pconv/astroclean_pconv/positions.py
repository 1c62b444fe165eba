"""Positions of sources, refined on their peaks."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.sources.holes import HoleSizes

__all__ = ["refined"]


def refined(
    data: NDArray[Any],
    usable: NDArray[np.bool_],
    positions: NDArray[np.float64],
    sizes: HoleSizes,
) -> NDArray[np.float64]:
    """Return positions on the peaks of the sources (photutils, a parabola through the peak).

    Parameters
    ----------
    data : (ny, nx)
        Pixels. Not modified.
    usable : (ny, nx) bool
        Pixels to believe.
    positions : (n, 2) float64
        x, y as told, pixels.
    sizes : HoleSizes
        A peak farther than half the smallest hole is another source's: then the told one stays.

    Returns
    -------
    (n, 2) float64
        A new array.
    """
    from photutils.centroids import centroid_quadratic, centroid_sources  # noqa: PLC0415 - heavy

    farthest = 0.5 * sizes.radii[0]
    box = 2 * int(np.ceil(farthest)) + 3
    found = positions.copy()
    for index, (x, y) in enumerate(positions):
        with warnings.catch_warnings():
            # Where a centroid cannot be found the told position stays, as documented.
            warnings.simplefilter("ignore")
            try:
                new_x, new_y = centroid_sources(
                    data, x, y, box_size=box, mask=~usable, centroid_func=centroid_quadratic
                )
            except ValueError:  # no usable pixel near it
                continue
        new = np.array([new_x[0], new_y[0]], dtype=np.float64)
        if np.isfinite(new).all() and np.hypot(*(new - positions[index])) <= farthest:
            found[index] = new
    return found
