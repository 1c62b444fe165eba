"""Charge that stays behind when a CCD is read out, and follows as a trail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["trail_charge"]


def trail_charge(
    electrons: NDArray[np.float64], *, loss: float, length: float
) -> NDArray[np.float64]:
    """Return an image with trails away from the readout, which is below row 0.

    A pixel far from the readout is shifted more often, and loses more: of row y the part
    ``loss * y / ny`` is captured, and released behind it with an exponential law (a single species
    of trap; Massey et al. 2010, MNRAS 401, 371).

    Parameters
    ----------
    electrons : (ny, nx) float64
        Charge before the readout. Not modified.
    loss : float
        Part of the charge that the farthest row loses, 0 to 1.
    length : float
        Mean length of a trail in pixels.

    Returns
    -------
    (ny, nx) float64
        A new array; charge is conserved but for what is released beyond the last row.
    """
    ny = electrons.shape[0]
    part = loss * np.arange(ny)[:, np.newaxis] / ny
    captured = electrons * part
    stays = np.exp(-1.0 / length)
    trail = np.zeros_like(electrons)
    held = np.zeros(electrons.shape[1])
    for row in range(ny):
        released = held * (1 - stays)
        trail[row] = released
        held = held - released + captured[row]
    return np.asarray(electrons - captured + trail)
