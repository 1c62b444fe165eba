"""Which pixels of a calibrated image cannot be used, and why: planes of raw values and masters."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.errors import AstrocleanWarning, SuspectWarning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean_classical.calibrate.masters import Master
    from astroclean_classical.calibrate.raw import RawFrame

__all__ = ["PLANES", "lost_pixels", "planes_of_flat", "planes_of_masters", "planes_of_raw"]

PLANES = MaskPlane.SATURATED | MaskPlane.BAD_PIXEL | MaskPlane.NO_DATA | MaskPlane.SUSPECT
"""All that are set here."""

_LOST = 20.0
"""Noises by which a value lies below zero that was not read."""
_MANY = 0.05
"""Part of the lines of a frame whose overscan may be odd."""


def lost_pixels(
    raw: RawFrame, light: NDArray[np.floating], *, level: float, error: NDArray[np.floating] | float
) -> NDArray[np.bool_]:
    """Return the pixels that were not read: no exposure takes charge away.

    Parameters
    ----------
    raw : RawFrame
        The frame.
    light : (ny, nx) float
        What is left of it without the level of the camera and the bias, in data numbers.
    level : float
        Of the camera, in data numbers.
    error : (ny, nx) float or float
        Standard deviation of what was taken off.

    Returns
    -------
    (ny, nx) bool
        20 standard deviations of the noise below zero, or a raw value of 0 under such a level.
    """
    least = _LOST * np.hypot(raw.noise, error)
    empty = raw.frame.data[raw.sections.trim] <= 0
    return np.asarray((light < -least) | (empty & (level > least)))


def planes_of_raw(raw: RawFrame) -> NDArray[np.uint32]:
    """Return the planes that raw values and the overscan tell; what is odd becomes a note."""
    flags = np.zeros(raw.sections.trimmed, dtype=np.uint32)
    level = raw.frame.detector.saturation
    if level is not None:
        full = raw.frame.data[raw.sections.trim] >= level
        flags[full] |= np.uint32(MaskPlane.SATURATED)
    elif not raw.frame.where(MaskPlane.SATURATED).any():
        text = (
            f"{raw.where}: no saturation level is known and no pixel is flagged; afterwards "
            "saturated pixels cannot be told. Give `--set instrument.saturation=...`."
        )
        warnings.warn(text, AstrocleanWarning, stacklevel=3)
    if raw.is_levelled and raw.odd.any():
        is_many = raw.odd.mean() > _MANY
        kind = SuspectWarning if is_many else AstrocleanWarning
        warnings.warn(f"{raw.where}: {raw.odd_text}", kind, stacklevel=3)
        if raw.degree is None:
            lines = flags if raw.sections.axis == 1 else flags.T
            lines[raw.odd] |= np.uint32(MaskPlane.SUSPECT)
    return flags


def planes_of_masters(masters: Sequence[Master], flags: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return flags with BAD_PIXEL where one of the masters is not usable. New array."""
    unusable = np.zeros(flags.shape, dtype=bool)
    for master in masters:
        unusable |= ~master.usable
    return flags | unusable * np.uint32(MaskPlane.BAD_PIXEL)


def planes_of_flat(
    flat: Master, flags: NDArray[np.uint32], *, least: float, most: float
) -> NDArray[np.uint32]:
    """Return flags with BAD_PIXEL where a flat is too low or too high, in its unit. New array."""
    odd = ~((flat.ccd.data >= least) & (flat.ccd.data <= most))
    bad: NDArray[np.uint32] = flags | odd * np.uint32(MaskPlane.BAD_PIXEL)
    return bad
