"""The columns of catalogues: one name, one meaning, one unit, one UCD, from whatever stage."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.table import QTable

    from astroclean.core.image.frame import Frame

__all__ = ["COLUMNS", "FLUX", "FLUX_SQUARED", "PIXEL_VALUE", "UCD", "Column", "column_of"]
__all__ += ["catalogue_table", "explained"]

UCD = "ucd"
"""Key in the ``meta`` of a column, where a plugin may give a column of its own its UCD."""
FLUX, FLUX_SQUARED, PIXEL_VALUE = "flux", "flux squared", "pixel value"
"""Units that the frame tells: of a sum of its pixels, of the square of one, of a pixel."""


@dataclass(frozen=True)
class Column:
    """What a column of a catalogue is."""

    meaning: str
    """Its description, where the stage that gives it says no more."""
    ucd: str
    """What it is to the Virtual Observatory, in words of UCD1+."""
    unit: str = ""
    """Unit, or one of those that the frame tells; none for numbers, and for places in pixels."""
    type: str = "f8"
    """Of its values, in NumPy's code."""


_FLUX, _ERROR = "phot.flux", "stat.error;phot.flux"
_SIZE, _SHAPE, _ELLIPTICITY = "phys.angSize;src", "src.morph.param", "src.ellipticity"
_QUALITY, _PIXELS = "meta.code.qual", "meta.number;instr.pixel"

COLUMNS: dict[str, Column] = {
    "hdu": Column("frame of the input file", "meta.id;instr", type="U"),
    "id": Column("number of the source", "meta.id;meta.main", type="i4"),
    "x": Column("center, pixels; the first pixel's center is 0", "pos.cartesian.x;instr.pixel"),
    "y": Column("center, pixels; the first pixel's center is 0", "pos.cartesian.y;instr.pixel"),
    "x_err": Column("standard deviation of x, pixels", "stat.error;pos.cartesian.x"),
    "y_err": Column("standard deviation of y, pixels", "stat.error;pos.cartesian.y"),
    "ra": Column("right ascension (ICRS)", "pos.eq.ra;meta.main", "deg"),
    "dec": Column("declination (ICRS)", "pos.eq.dec;meta.main", "deg"),
    "flux": Column("light of the source, without background", _FLUX, FLUX),
    "flux_err": Column("standard deviation of flux", _ERROR, FLUX),
    "flux_auto": Column("sum in the Kron ellipse of 2.5 Kron radii", _FLUX, FLUX),
    "flux_auto_err": Column("standard deviation of flux_auto", _ERROR, FLUX),
    "flux_covariance": Column(
        "of flux and that of flux_covariance_id", "stat.covariance;phot.flux", FLUX_SQUARED
    ),
    "flux_covariance_id": Column(
        "id whose flux is most correlated with this; 0: none", "meta.id.assoc", type="i4"
    ),
    "snr": Column("flux over its standard deviation", "stat.snr"),
    "peak": Column("highest value, background subtracted", "phot.flux;stat.max", PIXEL_VALUE),
    "reliability": Column("probability that the source is real", "stat.probability;src"),
    "completeness": Column(
        "share of sources of this flux that the catalogue has", "stat.probability"
    ),
    "radius": Column("radius of the source", _SIZE),
    "mask_radius": Column("radius of the pixels that were replaced, in pixels", _SIZE),
    "half_light_radius": Column("circle with half of the light", _SIZE, "pix"),
    "half_light_radius_convolved": Column(
        "circle with half of the light, PSF included", _SIZE, "pix"
    ),
    "half_light_radius_intrinsic": Column(
        "circle with half of the light, without the PSF", _SIZE, "pix"
    ),
    "x2": Column("second moment of the model along x, PSF included", _SHAPE, "pix2"),
    "y2": Column("second moment of the model along y, PSF included", _SHAPE, "pix2"),
    "xy": Column("mixed second moment of the model, PSF included", _SHAPE, "pix2"),
    "a": Column("standard deviation along the major axis", "phys.angSize.smajAxis;src", "pix"),
    "b": Column("standard deviation along the minor axis", "phys.angSize.sminAxis;src", "pix"),
    "theta": Column(
        "angle of the major axis from +x towards +y, -90 to 90", "pos.posAng;src", "deg"
    ),
    "ellipticity": Column("1 - b / a", _ELLIPTICITY),
    "fwhm": Column("of the circular Gaussian with these moments", _SIZE, "pix"),
    "kron_radius": Column("in units of a and b", _SHAPE),
    "size": Column("width of the source", _SHAPE),
    "size_err": Column("standard deviation of size", f"stat.error;{_SHAPE}"),
    "size_before": Column("size, as the frame shows it", _SHAPE),
    "e1": Column("(Ixx - Iyy) / (Ixx + Iyy) of second moments", _ELLIPTICITY),
    "e1_err": Column("standard deviation of e1", f"stat.error;{_ELLIPTICITY}"),
    "e1_before": Column("e1, as the frame shows it", _ELLIPTICITY),
    "e2": Column("2 Ixy / (Ixx + Iyy) of second moments", _ELLIPTICITY),
    "e2_err": Column("standard deviation of e2", f"stat.error;{_ELLIPTICITY}"),
    "e2_before": Column("e2, as the frame shows it", _ELLIPTICITY),
    "star_probability": Column(
        "that it is a point source", "stat.probability;src.class.starGalaxy"
    ),
    "detection_probability": Column("that there is a source", "stat.probability;src"),
    "blend_probability": Column(
        "that it is two sources or more, unrecognized", "stat.probability;src"
    ),
    "blendedness": Column("part of the light where it lies that is others': 1 - S.S / S.M", _SHAPE),
    "chi2": Column("of the fit, for each pixel", "stat.fit.chi2"),
    "misfit": Column("sum of absolute residuals over the flux", "stat.fit.residual"),
    "npix": Column("pixels in the segmentation", _PIXELS, type="i4"),
    "flag": Column("flags of the library, 0 for none", _QUALITY, type="i4"),
    "flags": Column("flags of the fit, joined by OR", _QUALITY, type="i4"),
    "quality": Column("what to know of the measurement, 0 for nothing", _QUALITY, type="i4"),
    "removed": Column("whether the source was taken out", "meta.code", type="?"),
    "left": Column("why the source was left as it is; empty: it was not", "meta.note", type="U"),
    "n_saturated": Column(
        "pixels of the source that are saturated", "meta.number;instr.saturation", type="i4"
    ),
    "n_filled": Column(
        "pixels of the source with a made-up value (interpolated or inpainted)",
        _PIXELS,
        type="i4",
    ),
    "n_flagged": Column(
        "pixels of the source with a plane that rejects, filled or not", _PIXELS, type="i4"
    ),
    "planes": Column("mask planes of the source's pixels, joined by OR", _QUALITY, type="u4"),
}
"""Name of a column to what it is; names mean the same in all catalogues."""

_OF_A_BAND = {
    r"flux_(?P<what>.+)_err": Column("standard deviation of flux_{what}", _ERROR, FLUX),
    r"flux_(?P<what>.+)": Column("flux in the band {what}", _FLUX, FLUX),
    r"aperture_(?P<what>.+)_err": Column("standard deviation of aperture_{what}", _ERROR, FLUX),
    r"aperture_(?P<what>.+)": Column("flux in the aperture of radius {what}", _FLUX, FLUX),
    r"annulus_(?P<what>.+)_err": Column("standard deviation of annulus_{what}", _ERROR, FLUX),
    r"annulus_(?P<what>.+)": Column(
        "flux in the aperture of radius {what}, background of the annulus", _FLUX, FLUX
    ),
}


def column_of(name: str) -> Column | None:
    """Return what a column is, by its name; None where that is not known.

    Parameters
    ----------
    name : str
        Of `COLUMNS`, or of a flux in a band or an aperture, such as ``flux_250``.
    """
    known = COLUMNS.get(name)
    for pattern, column in _OF_A_BAND.items() if known is None else ():
        found = re.fullmatch(pattern, name)
        if found is not None:
            return Column(column.meaning.format(**found.groupdict()), column.ucd, column.unit)
    return known


def catalogue_table(
    values: Mapping[str, Any],
    frame: Frame | None = None,
    *,
    meanings: Mapping[str, str] | None = None,
) -> QTable:
    """Return a catalogue of columns that are known, with their types, units and descriptions.

    Parameters
    ----------
    values : mapping of str to array
        Name of a column (see `column_of`) to plain values in its unit, one a source; fluxes are
        sums of pixels of the frame, which `astroclean.core.image.fluxes.flux_scale` turns into its
        unit of fluxes. A Quantity keeps its own unit.
    frame : Frame, optional
        Gives the units of fluxes and pixels; not needed where all of these are Quantities.
    meanings : mapping of str to str, optional
        Descriptions of columns of which more is to be said than `COLUMNS` does.

    Returns
    -------
    QTable
        New; columns in the order of ``values``.
    """
    from astropy import units as u  # noqa: PLC0415 - core stays light to import
    from astropy.table import QTable  # noqa: PLC0415 - as above

    from astroclean.core.image.fluxes import flux_scale  # noqa: PLC0415 - imports units

    columns = {name: _known(name) for name in values}
    wanted = {
        column.unit for name, column in columns.items() if not isinstance(values[name], u.Quantity)
    }
    scale = flux_scale(frame) if frame is not None and wanted & {FLUX, FLUX_SQUARED} else None
    table = QTable()
    for name, column in columns.items():
        given = values[name]
        if isinstance(given, u.Quantity):
            table[name] = given.astype(column.type)
        else:
            plain = np.asarray(given).astype(column.type)
            if frame is not None and column.unit == PIXEL_VALUE:
                table[name] = u.Quantity(plain, frame.unit)
            elif scale is not None and column.unit in (FLUX, FLUX_SQUARED):
                power = 1 if column.unit == FLUX else 2
                table[name] = u.Quantity(plain * scale.factor**power, scale.unit**power)
            else:
                table[name] = u.Quantity(plain, column.unit) if column.unit else plain
        table[name].info.description = (meanings or {}).get(name, column.meaning)
        table[name].info.meta = {UCD: column.ucd}
    return table


def _known(name: str) -> Column:
    column = column_of(name)
    if column is None:
        raise KeyError(f"column '{name}' is not among those of catalogues: see COLUMNS")
    return column


def explained(table: QTable) -> QTable:
    """Return a catalogue whose known columns have their UCD, and a description.

    Parameters
    ----------
    table : QTable
        Not modified. What a column has by itself stays.

    Returns
    -------
    QTable
        A copy.
    """
    told = table.copy()
    for name in told.colnames:
        # Of the name alone: that of another's `flux_radius` tells no band.
        column, info = COLUMNS.get(name), told[name].info
        if column is not None:
            info.meta = {UCD: column.ucd, **(info.meta or {})}
            info.description = info.description or column.meaning
    return told
