"""SPIKE: longer than wide, and pointing at a star that is much brighter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean_maximask.mask.evidence.strips import components, widened

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean_maximask.mask.evidence.strips import Strip

__all__ = ["keep_spikes"]

_JOINED = 3
"""Pixels by which flags are widened before they are groups: arms come in pieces."""
_SHORTEST = 8.0
"""Pixels; between two stars there is as much by chance."""
_BRIGHTER = 50.0
"""Star over arm, at least: all arms have a twentieth of its light, on hundreds of pixels."""
_NEAR = 80
"""Pixels around a group in which the star is."""
_FEWEST = 4


def keep_spikes(strip: Strip, found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of diffraction spikes.

    Parameters
    ----------
    strip : Strip
        What was observed.
    found : (ny, nx) bool
        What the network takes for spikes.

    Returns
    -------
    (ny, nx) bool
        Of these: groups of some length with a star near them that is bright enough to have arms.
    """
    kept = np.zeros_like(found)
    if not found.any():
        return kept
    for box, group in components(widened(found, _JOINED)):
        own = found[box] & group
        y, x = np.nonzero(own)
        if len(y) < _FEWEST:
            continue
        # A line of length l that is filled evenly has a variance of l**2 / 12.
        length = np.sqrt(12 * np.linalg.eigvalsh(np.cov(np.stack([y, x])))[1])
        if length < _SHORTEST:
            continue
        near = tuple(slice(max(part.start - _NEAR, 0), part.stop + _NEAR) for part in box)
        star = np.sort(strip.light[near], axis=None)[-_FEWEST:].min()
        if star > _BRIGHTER * max(float(np.median(strip.light[box][own])), 1.0):
            kept[box] |= own
    return kept
