"""What the peers are given: plain arrays in the unit that they were made for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.results import Mask
from astroclean.errors import StageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["cosmic_ray_mask", "in_electrons"]


def in_electrons(frame: Frame, *, stage: str) -> NDArray[np.float32]:
    """Return the values in electrons; pixels without one get the median of the others.

    Parameters
    ----------
    frame : Frame
        In electrons, or in a unit of data numbers with a gain. Not modified.
    stage : str
        For messages.

    Returns
    -------
    (ny, nx) float32
        New.

    Raises
    ------
    StageError
        The unit cannot be turned into electrons, or the gain or exposure time is not known.
    """
    detector = frame.detector
    scale = 1.0
    if frame.unit in (u.adu, u.count, u.adu / u.s, u.count / u.s):
        scale *= detector.require("gain", frame=frame, stage=stage)
    elif frame.unit not in (u.electron, u.electron / u.s):
        raise StageError(
            f"values in {frame.unit} cannot be turned into electrons",
            where=f"{frame.frame_id}, stage '{stage}'",
        )
    if u.s in frame.unit.bases:
        scale *= detector.require("exposure", frame=frame, stage=stage)
    known = np.isfinite(frame.data)
    middle = np.median(frame.data[known]) if known.any() else 0.0
    return np.where(known, frame.data, middle).astype(np.float32) * np.float32(scale)


def cosmic_ray_mask(probability: NDArray[np.float32], threshold: float) -> Mask:
    """Return the answer of a network that knows cosmic rays only.

    Parameters
    ----------
    probability : (ny, nx) float32
        Of each pixel.
    threshold : float
        A pixel above it is flagged.

    Returns
    -------
    Mask
        COSMIC_RAY, with its probability.
    """
    flags = (probability > threshold) * np.uint32(MaskPlane.COSMIC_RAY)
    return Mask(flags, {MaskPlane.COSMIC_RAY.alias: probability})
