"""Flanks of saturated stars: they fall from a core that is cut off, more steeply than any star."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["around_cores", "beside_saturated"]

_REACH = 2
"""Pixels from the core."""


def beside_saturated(frame: Frame) -> NDArray[np.bool_]:
    """Return the pixels beside the saturated cores of stars, in which no hit is to be believed.

    Parameters
    ----------
    frame : Frame
        Its plane SATURATED counts. Not modified.

    Returns
    -------
    (ny, nx) bool
        As of :func:`around_cores`.
    """
    return around_cores(frame.where(MaskPlane.SATURATED))


def around_cores(saturated: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the saturated cores of stars and the pixels beside them.

    Parameters
    ----------
    saturated : (ny, nx) bool
        What is at least three pixels wide counts: a hit that saturates is narrower.

    Returns
    -------
    (ny, nx) bool
        Pixels up to two from a core, the core among them.
    """
    from scipy.ndimage import binary_dilation, binary_opening  # noqa: PLC0415 - heavy

    square = np.ones((3, 3), dtype=bool)
    cores = binary_opening(saturated, square)
    flanks: NDArray[np.bool_] = binary_dilation(cores, square, iterations=_REACH)
    return flanks
