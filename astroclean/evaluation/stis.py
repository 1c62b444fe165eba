"""Observed truth: two exposures of one field with HST STIS tell their particle hits."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.uncertainty import deviation_of
from astroclean.errors import ConfigurationError
from astroclean.io.fits.address import parse_address
from astroclean.io.frames.read import open_exposure
from astroclean.simulate.scene import ClassTruth, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.io.frames.read import ReadSettings

__all__ = ["difference_truth", "stis_pair"]

_REJECTED = 8192
"""Data quality bit of the pipeline's own rejection, which compares exposures: generous."""
_CERTAIN = 8.0
_EXPOSURES = 2


def stis_pair(path: str, settings: ReadSettings) -> Iterator[Scene]:
    """Yield both exposures of a file with their particle hits.

    Parameters
    ----------
    path : str
        A file with two exposures of the same pointing, each with SCI, ERR and DQ.
    settings : ReadSettings
        How it is read.

    Yields
    ------
    Scene
        True hits are pixels with DQ bit 8192 that are 8 sigma above the other exposure. Pixels
        without the bit, and not beside one with it, are true negatives. The rest is left out of
        the scoring. The hits that the DQ names are not in the flags of the frame.

    Raises
    ------
    ConfigurationError
        The file does not hold two exposures with errors.
    """
    with open_exposure(path, settings) as exposure:
        frames = [exposure.frame(slot) for slot in exposure.slots]
    qualities = _qualities(path)
    if len(frames) != _EXPOSURES or len(qualities) != _EXPOSURES:
        raise ConfigurationError(
            f"{path}: the truth of a pair needs two exposures with DQ, "
            f"not {len(frames)} and {len(qualities)}"
        )
    for mine, other in permutations(range(_EXPOSURES)):
        planes, unsure = difference_truth(frames[mine], frames[other], qualities[mine])
        hidden = frames[mine].flags & ~np.uint32(MaskPlane.COSMIC_RAY)
        frame = frames[mine].replace(flags=hidden)
        hits = ClassTruth(planes != 0, MaskPlane.COSMIC_RAY)
        classes = {MaskPlane.COSMIC_RAY.alias: hits}
        yield Scene(frame, planes=planes, ignored=unsure, classes=classes)


def _qualities(path: str) -> list[NDArray[np.integer]]:
    with fits.open(parse_address(path).path) as hdus:
        return [np.array(hdu.data) for hdu in hdus if hdu.name == "DQ"]


def difference_truth(
    frame: Frame, other: Frame, quality: NDArray[np.integer]
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Return the true planes of an exposure from another of the same field.

    Parameters
    ----------
    frame, other : Frame
        With uncertainties, on the same pixels.
    quality : (ny, nx) int
        DQ of ``frame``.

    Returns
    -------
    planes : (ny, nx) uint32
        COSMIC_RAY where certain.
    unsure : (ny, nx) bool
        Where it is not known.

    Raises
    ------
    ConfigurationError
        An exposure has no uncertainty.
    """
    from scipy.ndimage import binary_dilation  # noqa: PLC0415 - slow to import

    deviations = [deviation_of(f.uncertainty) for f in (frame, other)]
    if deviations[0] is None or deviations[1] is None:
        raise ConfigurationError(f"{frame.frame_id}: the truth of a pair needs uncertainties")
    named = (quality & _REJECTED) != 0
    noise = np.hypot(deviations[0], deviations[1])
    certain = named & (frame.data - other.data > _CERTAIN * noise)
    unsure = binary_dilation(named, np.ones((3, 3))) & ~certain
    planes = np.zeros(frame.shape, dtype=np.uint32)
    planes[certain] |= np.uint32(MaskPlane.COSMIC_RAY)
    return planes, unsure
