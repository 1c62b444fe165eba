"""Persistence (PERSISTENCE): charge that stars of an earlier pointing left in traps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.simulate.draws import log_uniform, uniform, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["draw_afterglow"]

_TRAPS = 3


def draw_afterglow(
    rng: np.random.Generator, shape: tuple[int, int], *, fwhm: float
) -> NDArray[np.float64]:
    """Draw the afterglow of stars that were brighter than the detector holds.

    Traps of several depths fill where charge came near full well, and empty with time constants of
    their own; what is released while pixels are shifted lies in a tail behind.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    shape : (int, int)
        (ny, nx) in pixels.
    fwhm : float
        Of a star in the earlier exposure, pixels.

    Returns
    -------
    (ny, nx) float64
        In units of the noise of the sky.
    """
    y, x = np.ogrid[: shape[0], : shape[1]]
    earlier = np.zeros(shape)
    beta = uniform(rng, (2.2, 3.5))
    for _ in range(whole(rng, (1, 6))):
        py, px = uniform(rng, (0, shape[0])), uniform(rng, (0, shape[1]))
        r2 = ((x - px) ** 2 + (y - py) ** 2) / (fwhm / 1.2) ** 2
        earlier += log_uniform(rng, (1.5, 3000)) * (1 + r2) ** -beta  # in units of full well
    glow = np.zeros(shape)
    elapsed, exposed = log_uniform(rng, (20, 1500)), log_uniform(rng, (30, 900))
    for depth, life in zip(np.linspace(0.4, 0.9, _TRAPS), (60.0, 400.0, 3000.0), strict=True):
        filled = 1 - np.exp(-np.clip(earlier - depth, 0, 60) / uniform(rng, (0.3, 3)))
        glow += filled * (np.exp(-elapsed / life) - np.exp(-(elapsed + exposed) / life))
    if rng.random() < 0.4:  # noqa: PLR2004 - of a CCD, which is shifted while traps empty
        glow = _smeared(glow, log_uniform(rng, (2, 25)), backwards=bool(rng.random() < 0.5))  # noqa: PLR2004
    return np.asarray(glow * log_uniform(rng, (2.5, 20)) / max(float(glow.max()), 1e-12))


def _smeared(glow: NDArray[np.float64], length: float, *, backwards: bool) -> NDArray[np.float64]:
    """Return an image with exponential tails along columns."""
    from scipy.signal import lfilter  # noqa: PLC0415 - slow to import

    keep = np.exp(-1 / length)
    turned = glow[::-1] if backwards else glow
    tailed = np.asarray(lfilter([1 - keep], [1, -keep], turned, axis=0))
    return tailed[::-1] if backwards else tailed
