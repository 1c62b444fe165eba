"""The noise that a threshold for detection counts in: what the frame says, and what is measured."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.noise import SIGMA_PER_MAD
from astroclean.core.image.uncertainty import deviation_of
from astroclean.errors import StageError, SuspectWarning

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

    NoiseSource = Literal["auto", "uncertainty", "measured"]

__all__ = ["detection_noise", "no_uncertainty"]

_AGREE = 2.0
"""Stated and measured noise that differ by more than this factor are not the same noise."""
_KERNEL = 2
_NOISE_OF_DIFFERENCE = 6.0  # the root of the sum of squares of 1 -2 1, -2 4 -2, 1 -2 1


def detection_noise(
    frame: Frame,
    measured: NDArray[np.float32],
    bad: NDArray[np.bool_],
    *,
    source: NoiseSource = "auto",
    stage: str,
) -> tuple[NDArray[np.float32] | None, NDArray[np.bool_]]:
    """Return the standard deviation of each pixel that thresholds and errors count in.

    With ``"auto"`` it is the uncertainty of the frame where that is known, and the measured
    scatter in pixels that are good but whose uncertainty is not known (NaN), as after a filling.
    Where the uncertainty and what is measured over the frame, both as scatter and from pixel to
    pixel, differ by more than a factor of two, the larger of uncertainty and scatter counts in
    each pixel: a threshold in units of noise that is too small finds noise.

    Parameters
    ----------
    frame : Frame
        Gives the uncertainty. Not modified.
    measured : (ny, nx) float32
        Scatter of the background around each pixel, in the unit of the frame. Not modified.
    bad : (ny, nx) bool
        Pixels that are not read. Not modified.
    source : {"auto", "uncertainty", "measured"}
        ``"uncertainty"`` believes the frame whatever the scatter; ``"measured"`` the scatter.
    stage : str
        Name of the stage, for messages.

    Returns
    -------
    noise : (ny, nx) float32 or None
        Finite and positive, 1 in bad pixels; None where no pixel is left.
    bad : (ny, nx) bool
        With those pixels added whose noise is zero or infinite (weight 0). A new array.

    Raises
    ------
    StageError
        ``source`` is ``"uncertainty"`` and the frame has none.

    Warns
    -----
    SuspectWarning
        Uncertainty and measured noise differ by more than a factor of two.
    """
    where = f"{frame.frame_id}, stage '{stage}'"
    noise = np.asarray(measured, dtype=np.float32)
    stated = None if source == "measured" else deviation_of(frame.uncertainty)
    if stated is None and source == "uncertainty":
        raise no_uncertainty(where)
    if stated is not None:
        filled = np.where(np.isnan(stated), noise, stated)
        believed = source == "uncertainty"
        agree = _said_if_apart(frame, stated, noise, bad, where=where, believed=believed)
        noise = filled if agree or believed else np.maximum(filled, noise)
    # A pixel without noise would be above any threshold.
    usable = np.isfinite(noise) & (noise > 0) & ~bad
    if not usable.any():
        return None, ~usable
    return np.where(usable, noise, np.float32(1)), ~usable


def _said_if_apart(
    frame: Frame,
    stated: NDArray[np.float32],
    measured: NDArray[np.float32],
    bad: NDArray[np.bool_],
    *,
    where: str,
    believed: bool,
) -> bool:
    """Return whether stated and measured noise agree over the frame; warn where they do not."""
    known = np.isfinite(stated) & (stated > 0) & np.isfinite(measured) & (measured > 0) & ~bad
    if not known.any():
        return True
    scatter = float(np.median(measured[known] / stated[known]))
    grain = _grain(frame.data, np.where(known, stated, np.float32(np.nan)))
    # Sources raise the scatter where they are many, and a resampling lowers the grain. So both must
    # tell that the noise is more, or less, than stated.
    ratio = min(max(1.0, min(scatter, grain)), max(scatter, grain))
    if 1 / _AGREE <= ratio <= _AGREE:
        return True
    typical = float(np.median(stated[known]))
    counts = "The uncertainty counts, as `noise` says" if believed else "The larger counts"
    warnings.warn(
        f"{where}: the uncertainty of the frame is not its noise: median {typical:.4g} stated, "
        f"{ratio * typical:.4g} measured, a factor of {max(ratio, 1 / ratio):.3g}. {counts}. "
        "Correct the ERR or VAR of the file, or choose with the option `noise` of the plugin, "
        "where it has one.",
        SuspectWarning,
        stacklevel=4,
    )
    return False


def _grain(data: NDArray[np.float32], stated: NDArray[np.float32]) -> float:
    """Return the noise from pixel to pixel in units of the stated one; NaN there is not read.

    Second differences in both directions have none of the sky and little of what the PSF blurred
    (Immerkaer 1996, CVIU 64, 300); their median is not that of the few stars.
    """
    if min(data.shape) <= _KERNEL:
        return 0.0
    values = np.where(np.isfinite(stated), data, np.float32(np.nan))
    rows = values[:-2] - 2 * values[1:-1] + values[2:]
    differences = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    relative = np.abs(differences) / stated[1:-1, 1:-1]
    relative = relative[np.isfinite(relative)]
    if not relative.size:
        return 0.0
    return float(np.median(relative)) * SIGMA_PER_MAD / _NOISE_OF_DIFFERENCE


def no_uncertainty(where: str) -> StageError:
    """Return the error of a stage that is to take an uncertainty which is not there."""
    return StageError(
        "the frame has no uncertainty",
        where=where,
        remedy='Use `noise = "map"` or `noise = "global"`.',
    )
