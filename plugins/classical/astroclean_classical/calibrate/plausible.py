"""Whether a calibrated image can be one: a sky above zero, and light in all rows and columns."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from astroclean.errors import SuspectWarning
from astroclean_classical.calibrate.raw import middle

if TYPE_CHECKING:
    from astropy.nddata import CCDData
    from numpy.typing import NDArray

    from astroclean_classical.calibrate.raw import RawFrame

__all__ = ["checked_sky"]

_BELOW_ZERO = 0.5
"""Of the noise of a pixel: how far the median of a frame may lie below zero."""
_DARK = 0.25
"""Of the sky: rows below have seen no light."""
_SURE = 8.0
"""Standard errors of the median of a row by which the sky must lie above it."""


def checked_sky(raw: RawFrame, ccd: CCDData, flags: NDArray[np.uint32]) -> float:
    """Return the median of a calibrated image; tell where it or its borders are implausible.

    Parameters
    ----------
    raw : RawFrame
        What it was.
    ccd : CCDData
        In electrons, with uncertainty.
    flags : (ny, nx) uint32
        Planes that were found; pixels with one do not count.

    Returns
    -------
    float
        In electrons; NaN where no pixel counts.

    Raises
    ------
    SuspectWarning
        (A warning) It is below zero, or the outer rows or columns hold no sky.
    """
    good = (flags == 0) & raw.frame.usable[raw.sections.trim]
    sky, noise = middle(ccd.data[good]), middle(ccd.uncertainty.array[good])
    if sky < -_BELOW_ZERO * noise:
        warnings.warn(
            f"{raw.where}: the sky is {sky:.4g} electrons, below zero by more than noise "
            f"({noise:.3g}) makes it: too much was taken off. Are these the right masters?",
            SuspectWarning,
            stacklevel=2,
        )
    dark = _dark_borders(np.where(good, ccd.data, np.nan), sky=sky, noise=noise)
    if dark:
        warnings.warn(
            f"{raw.where}: the outermost {' and '.join(dark)} of what is left, "
            f"{raw.sections.trim_text}, hold no sky ({sky:.4g} electrons elsewhere). Give the "
            "option `trim` without them.",
            SuspectWarning,
            stacklevel=2,
        )
    return sky


def _dark_borders(data: NDArray[np.floating], *, sky: float, noise: float) -> list[str]:
    """Return how many rows and columns at each border hold no sky, in words."""
    found = []
    for axis, name in ((1, "rows"), (0, "columns")):
        if not sky * (1 - _DARK) > _SURE * 1.25 * noise / np.sqrt(data.shape[axis]):
            continue
        counted = np.isfinite(data).any(axis=axis)
        lines = data if axis == 1 else data.T
        pairs = zip(counted, lines, strict=True)
        dark = np.array([any_ and np.nanmedian(line) < _DARK * sky for any_, line in pairs])
        for side, order in (("first", dark), ("last", dark[::-1])):
            count = len(order) if order.all() else int(np.argmin(order))
            if count:
                found.append(f"{count} {name} ({side})")
    return found
