"""Compact sources as the paper on their removal draws them: fluxes of a table, classes of S/N."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.sources.holes import measure_peaks
from astroclean.simulate.draws import log_uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.sources.holes import HoleSizes

__all__ = ["SNR_CLASSES", "TABLE_1", "draw_flux", "draw_fluxes"]

SNR_CLASSES = (2.0, 4.0, 8.0, 13.0, 140.0, 300.0, 3000.0)
"""Edges of the six classes of S/N that are drawn evenly (paper, table 3; its ends are ours)."""
TABLE_1 = np.concatenate(
    [
        [10, *range(20, 100, 20), *range(100, 200, 25), *range(200, 400, 50)],
        [*range(400, 1000, 100), *range(1000, 2000, 250), *range(2000, 5000, 500)],
        [*range(5000, 16000, 1000), 16000, 18000, 20000, *range(22500, 42500, 2500)],
    ]
).astype(np.float64)
"""Fluxes of the paper's simulations, mJy."""


def draw_flux(rng: np.random.Generator, unit: float) -> float:
    """Draw a flux of table 1 of a class of S/N; where it has none, any of that class.

    Parameters
    ----------
    rng : Generator
        Source of chance; the six classes are drawn evenly.
    unit : float
        Flux of a source whose peak is as high as the scatter around it.

    Returns
    -------
    float
        In the same unit; 0 without scatter, as in a flat part of a real map.
    """
    index = int(rng.integers(len(SNR_CLASSES) - 1))
    if not unit > 0:
        return 0.0
    span = (SNR_CLASSES[index] * unit, SNR_CLASSES[index + 1] * unit)
    first, end = np.searchsorted(TABLE_1, span)
    return float(rng.choice(TABLE_1[first:end])) if first < end else log_uniform(rng, span)


def draw_fluxes(
    rng: np.random.Generator,
    beneath: NDArray[np.generic],
    usable: NDArray[np.bool_],
    places: NDArray[np.float64],
    *,
    sizes: HoleSizes,
    peak: NDArray[np.float64] | float,
) -> NDArray[np.float64]:
    """Draw the flux of each source by the scatter in the annulus around its place.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    beneath : (ny, nx)
        Pixels without the sources, with noise.
    usable : (ny, nx) bool
        Pixels to believe.
    places : (n, 2) float64
        x, y in pixels.
    sizes : HoleSizes
        Where the scatter is measured.
    peak : float or (n,) float64
        Greatest pixel of the image of a source of flux 1.

    Returns
    -------
    (n,) float64
        Fluxes in the unit of the pixels; 0 where there is no scatter.
    """
    scatter = measure_peaks(beneath, usable, places, sizes).deviation
    return np.array([draw_flux(rng, unit) for unit in scatter / peak], dtype=np.float64)
