"""What the columns of a catalogue are, in words that the Virtual Observatory knows: UCD1+."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.table import QTable

__all__ = ["UCD", "UCDS", "with_ucds"]

UCD = "ucd"
"""Key in the ``meta`` of a column, where a plugin may give a column of its own its UCD."""
UCDS = {
    "hdu": "meta.id;instr",
    "id": "meta.id;meta.main",
    "x": "pos.cartesian.x;instr.pixel",
    "y": "pos.cartesian.y;instr.pixel",
    "x_err": "stat.error;pos.cartesian.x",
    "y_err": "stat.error;pos.cartesian.y",
    "ra": "pos.eq.ra;meta.main",
    "dec": "pos.eq.dec;meta.main",
    "flux": "phot.flux",
    "flux_err": "stat.error;phot.flux",
    "flux_auto": "phot.flux",
    "flux_auto_err": "stat.error;phot.flux",
    "flux_covariance": "stat.covariance;phot.flux",
    "flux_covariance_id": "meta.id.assoc",
    "snr": "stat.snr",
    "peak": "phot.flux;stat.max",
    "half_light_radius_convolved": "phys.angSize;src",
    "half_light_radius_intrinsic": "phys.angSize;src",
    "x2": "src.morph.param",
    "y2": "src.morph.param",
    "xy": "src.morph.param",
    "a": "phys.angSize.smajAxis;src",
    "b": "phys.angSize.sminAxis;src",
    "theta": "pos.posAng;src",
    "ellipticity": "src.ellipticity",
    "fwhm": "phys.angSize;src",
    "kron_radius": "src.morph.param",
    "star_probability": "stat.probability;src.class.starGalaxy",
    "detection_probability": "stat.probability;src",
    "blend_probability": "stat.probability;src",
    "blendedness": "src.morph.param",
    "chi2": "stat.fit.chi2",
    "npix": "meta.number;instr.pixel",
    "flag": "meta.code.qual",
    "flags": "meta.code.qual",
    "n_saturated": "meta.number;instr.saturation",
    "n_filled": "meta.number;instr.pixel",
    "n_flagged": "meta.number;instr.pixel",
    "planes": "meta.code.qual",
}
"""Name of a column to its UCD; names mean the same in all catalogues."""


def with_ucds(table: QTable) -> QTable:
    """Return a catalogue whose known columns have their UCD.

    Parameters
    ----------
    table : QTable
        Not modified. A UCD that a column has by itself stays.

    Returns
    -------
    QTable
        A copy.
    """
    told = table.copy()
    for name, ucd in UCDS.items():
        if name in told.colnames:
            told[name].info.meta = {UCD: ucd, **(told[name].info.meta or {})}
    return told
