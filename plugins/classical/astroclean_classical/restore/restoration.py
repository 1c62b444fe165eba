"""What deconvolution of whole frames needs: no holes, continued borders, noise and background."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.errors import StageError
from astroclean_classical.filling import convolution_filled, distance_to_good, nearest_filled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = [
    "central_stamp",
    "holes_filled",
    "sky_statistics",
    "unusable_pixels",
]

# Deeper holes get the nearest measured value: a wide kernel would cost much and tell no more.
_DEEP_HOLE = 16.0


def unusable_pixels(frame: Frame, stage: str) -> NDArray[np.bool_]:
    """Return the pixels not to read, or raise where there is no other.

    Parameters
    ----------
    frame : Frame
        Not modified.
    stage : str
        Name of the stage, for the message.

    Returns
    -------
    (ny, nx) bool
        Rejected, or not finite.

    Raises
    ------
    StageError
        No usable pixel.
    """
    bad: NDArray[np.bool_] = ~frame.usable
    if bad.all():
        raise StageError("no usable pixel", where=f"{frame.frame_id}, stage '{stage}'")
    return bad


def central_stamp(frame: Frame) -> NDArray[np.float64]:
    """Return the PSF at the center of a frame that has one, (ky, kx), of sum 1."""
    assert frame.psf is not None  # needed, hence checked by the base class of the stage
    ny, nx = frame.shape
    return frame.psf.at(nx / 2, ny / 2)


def holes_filled(data: NDArray[np.float32], bad: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return an image without holes: means of the surroundings, the nearest value in deep ones.

    Parameters
    ----------
    data : (ny, nx) float32
        Not modified.
    bad : (ny, nx) bool
        Pixels to replace; their values are not read.

    Returns
    -------
    (ny, nx) float64
        A new array.
    """
    deep = distance_to_good(bad) > _DEEP_HOLE
    shallow = bad & ~deep
    filled = nearest_filled(data, bad)
    if shallow.any():
        blank = np.where(bad, np.float32(np.nan), data)
        smooth = convolution_filled(blank, holes=shallow, bad=bad)
        filled = np.where(shallow & np.isfinite(smooth), smooth, filled)
    return filled.astype(np.float64)


def sky_statistics(values: NDArray[np.floating]) -> tuple[float, float]:
    """Return median and standard deviation of the sky, sources clipped at three deviations."""
    from astropy.stats import sigma_clipped_stats  # noqa: PLC0415 - heavy

    _, median, deviation = sigma_clipped_stats(values, sigma=3.0, maxiters=5)
    return float(median), float(deviation)
