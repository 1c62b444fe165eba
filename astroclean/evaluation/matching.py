"""A catalogue against the true one: which sources are found, which entries are true, fluxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.errors import ConfigurationError
from astroclean.evaluation.metrics.deblend import magnitude_errors, match_positions

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from numpy.typing import NDArray

    from astroclean.core.image.grid import Grid
    from astroclean.core.sources.sources import Sources

__all__ = [
    "WANTED_SNR",
    "Matching",
    "mapped",
    "match_catalogue",
    "plain",
    "positions",
    "total_flux",
    "total_flux_error",
]

WANTED_SNR = 5.0
"""S/N of the best fit from which a true source should be found."""
_SAME_PIXELS = 0.01
"""Pixels by which grids may differ that are one."""
_TOTAL_FLUXES = ("flux_total", "flux_auto", "flux")


@dataclass(frozen=True, eq=False)
class Matching:
    """How the true sources of a frame fared, in the order of their catalogue."""

    pairs: tuple[NDArray[np.intp], NDArray[np.intp]]
    """Rows of the catalogue and of the true one that belong together."""
    recovered: NDArray[np.bool_]
    """Of each true source."""
    genuine: NDArray[np.bool_]
    """Of each entry of the catalogue: whether it is a true source."""
    error: NDArray[np.float64]
    """Of each true source: -2.5 log10(flux / true flux); NaN where there is none."""


def match_catalogue(
    places: NDArray[np.float64], flux: NDArray[np.float64], true: Sources, *, radius: float
) -> Matching:
    """Match a catalogue with the true one.

    Parameters
    ----------
    places : (n, 2) float64
        x, y in pixels of each entry.
    flux : (n,) float64
        Of each; NaN where there is none.
    true : Sources
        On the same pixels.
    radius : float
        Farthest match in pixels.

    Returns
    -------
    Matching
        Each source and each entry once: see `match_positions`.
    """
    pairs = match_positions(places, positions(true), radius=radius)
    recovered, genuine = np.zeros(len(true), dtype=bool), np.zeros(len(places), dtype=bool)
    recovered[pairs[1]], genuine[pairs[0]] = True, True
    error = np.full(len(true), np.nan)
    if "flux" in true.table.colnames and len(pairs[0]):
        fluxes = flux[pairs[0]], plain(true.table["flux"])[pairs[1]]
        error[pairs[1]] = magnitude_errors(*fluxes)
    return Matching(pairs, recovered, genuine, error)


def plain(column: Any) -> NDArray[np.float64]:
    """Return a column as numbers, without its unit."""
    return np.asarray(getattr(column, "value", column), dtype=np.float64)


def positions(sources: Sources, grid: Grid | None = None) -> NDArray[np.float64]:
    """Return (n, 2): x, y of each source, in the pixels of a grid where one is given.

    A catalogue that tells no grid of its own counts in those pixels.
    """
    places = np.column_stack([plain(sources.table["x"]), plain(sources.table["y"])])
    own = sources.grid
    if grid is None or own is None:
        return places
    if own.shape == grid.shape and own.misalignment(grid) < _SAME_PIXELS:
        return places
    return mapped(places, own.wcs, grid.wcs)


def mapped(places: NDArray[np.float64], wcs: WCS | None, other: WCS | None) -> NDArray[np.float64]:
    """Return the pixels of another WCS at which places of one WCS lie.

    Raises
    ------
    ConfigurationError
        One of them is not celestial.
    """
    if wcs is None or other is None or not (wcs.has_celestial and other.has_celestial):
        raise ConfigurationError(
            "the bands have other pixels, and no celestial WCS tells where they lie"
        )
    sky = wcs.celestial.pixel_to_world(places[:, 0], places[:, 1])
    return np.column_stack(other.celestial.world_to_pixel(sky))


def total_flux(sources: Sources, band: str = "") -> NDArray[np.float64]:
    """Return the flux of each source: that of a band where the catalogue has it, else the total."""
    return _numbers(sources, _flux_column(sources, band))


def total_flux_error(sources: Sources, band: str = "") -> NDArray[np.float64]:
    """Return the standard deviation of what `total_flux` gives; NaN where none is told."""
    name = _flux_column(sources, band)
    return _numbers(
        sources, f"{name}_err", f"flux_err_{band}" if band and name.endswith(f"_{band}") else ""
    )


def _flux_column(sources: Sources, band: str) -> str:
    names = (f"flux_{band}", *_TOTAL_FLUXES) if band else _TOTAL_FLUXES
    return next((name for name in names if name in sources.table.colnames), "")


def _numbers(sources: Sources, *names: str) -> NDArray[np.float64]:
    """Return the first of some columns that there is; NaN where there is none."""
    for name in names:
        if name in sources.table.colnames:
            return plain(sources.table[name])
    return np.full(len(sources), np.nan)
