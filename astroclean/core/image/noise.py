"""The noise of the pixels of a frame: its uncertainty, and where it has none, what is measured.

Three measurements beside these are not of this kind, and stay where they are used: of the quiet
cells of a sky, row by row, to be compared with a prediction (`astroclean.tiling.noise`); of noise
with its correlation around a hole, of which more of the same is drawn; and the scatter of a
background that a detector of sources measures with its mesh.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from astroclean.core.image.uncertainty import deviation_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["SIGMA_PER_MAD", "NoiseMeasure", "noise_of", "typical_noise"]

SIGMA_PER_MAD = 1.482602218505602
"""Standard deviation of a Gaussian over its median absolute deviation: for medians of values that
are about zero already. About their median `astropy.stats.mad_std` has it."""

NoiseMeasure = Literal["differences", "scatter"]
"""``differences``: of neighbors in the sky, one number for the frame, to which structure that is
wider than a pixel adds little. ``scatter``: in boxes of 64 pixels, with all that varies there."""

_ENOUGH = 0.5
"""Below this share of usable pixels with an uncertainty, it does not describe the frame."""
_BOX = 64
_FEWEST = 16


def noise_of(frame: Frame, measure: NoiseMeasure = "differences") -> NDArray[np.float64]:
    """Return the standard deviation of the noise of each pixel: see `Frame.noise`."""
    deviation = deviation_of(frame.uncertainty)
    if deviation is None:
        return _measured(frame, measure)
    known = np.isfinite(deviation) & (deviation > 0)
    if known.all():
        return deviation.astype(np.float64)
    return np.where(known, deviation, _measured(frame, measure))


def _measured(frame: Frame, measure: NoiseMeasure) -> NDArray[np.float64]:
    if measure == "scatter":
        return _scatter_in_boxes(frame)
    return np.full(frame.shape, _positive(typical_noise(frame), frame))


def typical_noise(frame: Frame) -> float:
    """Return the standard deviation of the noise of a typical usable pixel.

    Parameters
    ----------
    frame : Frame
        Its uncertainty is taken where it describes most usable pixels.

    Returns
    -------
    float
        In the unit of the frame; without uncertainty, from differences of neighbors in the sky. 0
        where nothing tells.
    """
    deviation = deviation_of(frame.uncertainty)
    if deviation is not None:
        usable = deviation[frame.usable]
        known = usable[np.isfinite(usable) & (usable > 0)]
        if known.size > _ENOUGH * usable.size:
            return float(np.median(known))
    from astropy.stats import sigma_clipped_stats  # noqa: PLC0415 - heavy

    blank = np.where(frame.usable, frame.data.astype(np.float64), np.nan)
    # The second difference is free of slopes; 1, -2, 1 have a variance of 6.
    rough = (blank[:, 2:] - 2 * blank[:, 1:-1] + blank[:, :-2]).ravel() / np.sqrt(6)
    rough = rough[np.isfinite(rough)]
    return float(sigma_clipped_stats(rough, sigma=3.0, maxiters=5)[2]) if rough.size else 0.0


def _positive(noise: float, frame: Frame) -> float:
    """Return the noise, or of a frame without any what is small beside its values."""
    if noise > 0:
        return noise
    scale = float(np.abs(frame.data[frame.usable]).max(initial=0))
    return 1e-6 * scale if scale > 0 else 1.0


def _scatter_in_boxes(frame: Frame) -> NDArray[np.float64]:
    values = np.where(frame.usable, frame.data, np.nan)
    everywhere = _positive(_scatter(values), frame)
    sigma = np.empty(frame.shape)
    ny, nx = frame.shape
    for y in range(0, ny, _BOX):
        for x in range(0, nx, _BOX):
            box = (slice(y, y + _BOX), slice(x, x + _BOX))
            sigma[box] = _scatter(values[box]) or everywhere
    return sigma


def _scatter(values: NDArray[np.floating]) -> float:
    """Return the robust scatter of the finite values; 0 of too few."""
    from astropy.stats import mad_std  # noqa: PLC0415 - heavy

    sample = values[np.isfinite(values)]
    return 0.0 if sample.size < _FEWEST else float(mad_std(sample))
