"""The catalogue of a field: what the network found and what the bands say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from astropy.table import hstack

from astroclean.core.sources.columns import catalogue_table
from astroclean_spire_sr.bands import PER_COARSE
from astroclean_spire_sr.fit import joint_fluxes
from astroclean_spire_sr.planes import COLORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.table import QTable
    from numpy.typing import NDArray

    from astroclean_spire_sr.bands import BandMap
    from astroclean_spire_sr.calibration import Calibration
    from astroclean_spire_sr.detect import Detections

    Values = NDArray[np.float64]

__all__ = ["COLUMNS", "catalogue_of", "forced_catalogue"]

_MEANINGS = {
    "id": "number of the source",
    "x": "position, pixels of the fine grid; the first center is 0",
    "y": "position, pixels of the fine grid; the first center is 0",
    "flux": "at 450 um",
    "reliability": "probability that there is a galaxy of 1 mJy and half the flux within 12 arcsec",
    "completeness": "share of galaxies of this flux that the catalogue of such a field has",
}
COLUMNS = ("id", "x", "y", "flux", "flux_err", "snr", "reliability", "completeness")
"""Those of every catalogue; each band of SPIRE adds ``flux_BAND`` and its error."""
_SMALLEST = 1e-6


@dataclass(frozen=True, eq=False)
class _Rows:
    x: Values
    y: Values
    flux: Values
    error: Values
    reliability: Values
    completeness: Values


def catalogue_of(
    found: Detections, maps: Mapping[str, BandMap], calibration: Calibration
) -> QTable:
    """Return what was found.

    The flux at 450 um is the network's mean of what it may be, calibrated; those of the bands are
    fitted to the maps at the positions of all sources together, under the colours of galaxies.

    Parameters
    ----------
    found : Detections
        In pixels of 3 arcsec.
    maps : mapping of str to BandMap
        The bands.
    calibration : Calibration
        Of the network.

    Returns
    -------
    QTable
        A row a source, brightest first; columns of `COLUMNS`, and of the bands.
    """
    flux = np.exp(found.log_flux + found.log_flux_error**2 / 2)
    error = flux * np.sqrt(np.expm1(found.log_flux_error**2))
    depth = calibration.depth_of(maps, maps["250"].usual_noise)
    reliability, completeness = found.score, np.full(len(found), np.nan)
    if depth is not None:
        logarithm = np.log(np.maximum(flux, _SMALLEST))
        flux = flux * np.exp(depth.flux.at(logarithm))
        error = error * np.exp(depth.flux.at(logarithm)) * depth.flux_error.at(logarithm)
        score = np.clip(found.score, _SMALLEST, 1 - _SMALLEST)
        reliability = depth.reliability.at(np.log(score / (1 - score)))
        completeness = depth.completeness.at(np.log(np.maximum(flux, _SMALLEST)))
    order = np.argsort(-flux, kind="stable")
    table = _table(_Rows(found.x, found.y, flux, error, reliability, completeness))[order]
    table["id"] = np.sort(table["id"])
    fitted = joint_fluxes(
        maps, found.x[order], found.y[order], flux=flux[order], flux_error=error[order]
    )
    return _with_bands(table, fitted.bands, fitted.band_errors)


def forced_catalogue(x: Values, y: Values, maps: Mapping[str, BandMap]) -> QTable:
    """Return fluxes at given places, in their order.

    Parameters
    ----------
    x, y : (n,) float64
        Pixels of 3 arcsec.
    maps : mapping of str to BandMap
        The bands.

    Returns
    -------
    QTable
        As of `catalogue_of`, without reliability and completeness, which are NaN.
    """
    fitted = joint_fluxes(maps, x, y)
    nothing = np.full(len(x), np.nan)
    table = _table(_Rows(x, y, fitted.flux, fitted.error, nothing, nothing))
    return _with_bands(table, fitted.bands, fitted.band_errors)


def _table(rows: _Rows) -> QTable:
    with np.errstate(invalid="ignore", divide="ignore"):
        snr = rows.flux / rows.error
    x, y = ((place + 0.5) * PER_COARSE - 0.5 for place in (rows.x, rows.y))
    values = {
        "id": np.arange(1, len(rows.x) + 1),
        "x": x,
        "y": y,
        "flux": rows.flux * u.mJy,
        "flux_err": rows.error * u.mJy,
        "snr": snr,
        "reliability": rows.reliability,
        "completeness": rows.completeness,
    }
    return catalogue_table(values, meanings=_MEANINGS)


def _with_bands(
    table: QTable, fluxes: Mapping[str, Values], errors: Mapping[str, Values]
) -> QTable:
    values, meanings = {}, {}
    for name in COLORS:
        if name in fluxes:
            values[f"flux_{name}"] = fluxes[name] * u.mJy
            values[f"flux_{name}_err"] = errors[name] * u.mJy
            meanings[f"flux_{name}"] = f"at {name} um, of the joint fit"
    return hstack([table, catalogue_table(values, meanings=meanings)]) if values else table
