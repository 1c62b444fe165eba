"""Positions in a catalogue of the user's, found by the names that catalogues use."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u

from astroclean.core.stage.scope import chunk_of
from astroclean.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from astropy.table import Table
    from astropy.wcs import WCS
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = [
    "FIRST_PIXEL",
    "ID_NAMES",
    "numbers_of",
    "own_column",
    "pixel_columns",
    "pixel_places",
    "projected",
    "sky_columns",
    "sky_places",
]

# All names are compared in lower case. The first that a table has is taken.
_COORDINATES = ("coord", "sky_centroid")
_SKY_NAMES = (
    ("ra", "dec"),
    ("ra_icrs", "de_icrs"),
    # VizieR's own, always decimal degrees, come before those of the paper, which may be text.
    ("_raj2000", "_dej2000"),
    ("raj2000", "dej2000"),
    ("alpha_j2000", "delta_j2000"),
)
FIRST_PIXEL = {
    ("x", "y"): 0,
    ("x_fit", "y_fit"): 0,
    ("xcentroid", "ycentroid"): 0,
    ("x_centroid", "y_centroid"): 0,  # photutils from 3.0
    ("x_0", "y_0"): 0,
    ("x_image", "y_image"): 1,  # SExtractor counts as FITS does
}
"""Columns to the number that the centre of the lower-left pixel has in them."""
ID_NAMES = ("id", "label", "number")
"""Columns with the numbers of sources, in lower case."""

_POLE = 90.0
_ROUND_TRIP = 0.01
"""Pixels within which a position must come back from the frame; astropy converges to 1e-4."""


def own_column(table: Table, names: Iterable[str]) -> str | None:
    """Return the table's own spelling of the first of some lower-case names that it has."""
    # Reversed, so that of `X` and `x` the one that comes first in the table is taken.
    spellings = {str(name).lower(): str(name) for name in reversed(table.colnames)}
    return next((spellings[name] for name in names if name in spellings), None)


def _pair(table: Table, pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    for pair in pairs:
        first, second = (own_column(table, (name,)) for name in pair)
        if first is not None and second is not None:
            return first, second
    return ()


def sky_columns(table: Table) -> tuple[str, ...]:
    """Return the columns of positions on the sky: one of a ``SkyCoord``, two, or none."""
    from astropy.coordinates import SkyCoord  # noqa: PLC0415 - heavy

    for name in _COORDINATES:
        own = own_column(table, (name,))
        if own is not None and isinstance(table[own], SkyCoord):
            return (own,)
    return _pair(table, _SKY_NAMES)


def pixel_columns(table: Table) -> tuple[str, ...]:
    """Return the two columns of positions in pixels, or none."""
    return _pair(table, FIRST_PIXEL)


def sky_places(
    table: Table, names: tuple[str, ...], where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return right ascension and declination (ICRS, deg), NaN where masked."""
    if len(names) == 1:
        icrs = table[names[0]].icrs
        columns = ((f"{names[0]}.ra", icrs.ra), (f"{names[0]}.dec", icrs.dec))
    else:
        columns = ((names[0], table[names[0]]), (names[1], table[names[1]]))
    ra, dec = (numbers_of(column, u.deg, name=name, where=where) for name, column in columns)
    beyond = np.abs(dec) > _POLE
    if beyond.any():
        raise StageError(
            f"column '{columns[1][0]}' of the catalogue has declinations beyond the poles",
            where=where,
            received=f"{dec[beyond][0]:g} deg",
            remedy="Leave cells without a position empty; give the column its unit.",
        )
    return ra, dec


def projected(
    ra: NDArray[np.float64], dec: NDArray[np.float64], wcs: WCS, where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return pixel positions of ICRS positions, NaN where the WCS has none."""
    from astropy.coordinates import SkyCoord  # noqa: PLC0415 - heavy

    x, y = np.full((2, ra.size), np.nan)
    known = np.isfinite(ra) & np.isfinite(dec)
    sky = SkyCoord(ra[known], dec[known], unit=u.deg)
    # Far from the frame, a distorted projection has no inverse: astropy then warns and returns
    # whatever it came to, which may lie on the frame. The way back tells true from false.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            x[known], y[known] = wcs.world_to_pixel(sky)
            missed = wcs.pixel_to_world(x[known], y[known]).separation(sky)
        except Exception as error:  # WCSLIB and astropy raise many types
            raise StageError(
                f"catalogue cannot be placed with the WCS of the frame: {error}", where=where
            ) from error
    tolerance = _ROUND_TRIP * np.sqrt(wcs.proj_plane_pixel_area().to_value(u.deg**2))
    known[known] = missed.to_value(u.deg) <= tolerance
    return np.where(known, x, np.nan), np.where(known, y, np.nan)


def pixel_places(
    table: Table,
    names: tuple[str, ...],
    frame: Frame,
    where: str,
    *,
    first: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return pixel positions in a frame, which may be a part of the one that they count in.

    ``first`` is the number that the centre of the first pixel has; by default the names tell it.
    """
    x, y = (numbers_of(table[name], u.pix, name=name, where=where) for name in names)
    if first is None:
        first = FIRST_PIXEL[names[0].lower(), names[1].lower()]
    y_origin, x_origin = chunk_of(frame).origin
    return x - (first + x_origin), y - (first + y_origin)


def numbers_of(column: Any, unit: u.UnitBase, *, name: str, where: str) -> NDArray[np.float64]:
    """Return a column in a unit, which is assumed where it has none; NaN where masked."""
    mask = getattr(column, "mask", None)
    own = getattr(column, "unit", None)
    bare = np.asarray(np.ma.getdata(getattr(column, "unmasked", column)))
    if bare.dtype.kind not in "iuf" or bare.ndim != 1:
        raise StageError(
            f"column '{name}' of the catalogue must hold one number a row",
            where=where,
            received=f"type {bare.dtype}, shape {bare.shape}",
            remedy=f"Write it as decimal numbers in {unit}.",
        )
    values = np.array(bare, dtype=np.float64)
    if own is not None and own != u.dimensionless_unscaled:
        try:
            values = u.Quantity(values, own).to_value(unit)
        except (u.UnitsError, TypeError, ValueError) as error:
            raise StageError(
                f"column '{name}' of the catalogue must be in {unit} or a unit of that kind",
                where=where,
                received=str(own),
            ) from error
    if mask is not None:
        values[np.asarray(mask)] = np.nan
    return values
