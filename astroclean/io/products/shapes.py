"""Sources as regions: the ellipse that a catalogue tells of each, and the colour of its class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.drawn import SOURCE_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from astropy.table import QTable
    from astropy.wcs import WCS
    from numpy.typing import NDArray

    from astroclean.core.sources.sources import Sources

__all__ = [
    "FLAGGED",
    "GALAXY",
    "LEGEND",
    "STAR",
    "colors_of",
    "ellipses_of",
    "ellipses_on_sky",
    "region_lines",
]

STAR, GALAXY, FLAGGED = "cyan", "green", "red"
"""Names of colours that DS9 knows."""
LEGEND = (
    # Readers end a line at a semicolon, in a comment, too.
    "# Sources of astroclean. The text of each is its HDU and its id in the catalogue.",
    f"# color: {FLAGGED} = flagged, {STAR} = star_probability above 0.5, {GALAXY} = below",
    "# ellipse: 3 standard deviations along the axes, point: the catalogue tells no shape",
)
"""Comments of a region file: what its colours and shapes say."""
_SIGMAS = 3.0
"""Semi-axes in standard deviations: about the isophote of detection (SourceExtractor's manual)."""
_RADII = _SIGMAS / float(np.sqrt(2 * np.log(2)))
"""The same in half-light radii: that of a Gaussian is 1.18 standard deviations."""


def ellipses_of(table: QTable) -> NDArray[np.float64]:
    """Return the ellipse of each source, as its catalogue tells it.

    Parameters
    ----------
    table : QTable
        With ``a``, ``b`` (standard deviations along the axes, pixels) and ``theta`` (degrees from
        +x towards +y); or, where one of these is not known, with ``half_light_radius`` (pixels;
        of the circle of the same area) and ``ellipticity`` (1 - b / a), without which it is a
        circle. Other columns and units tell nothing.

    Returns
    -------
    (n, 3) float64
        Both semi-axes of what is drawn, three standard deviations or as many radii of a Gaussian,
        in pixels, and the angle in degrees; NaN where there is none.
    """
    names = {"a": "pix", "b": "pix", "theta": "deg", "half_light_radius": "pix", "ellipticity": ""}
    a, b, theta, radius, flat = (_values(table, name, unit) for name, unit in names.items())
    moments = np.stack([_SIGMAS * a, _SIGMAS * b, theta], axis=1)
    is_round = ~np.isfinite(flat + theta)
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(np.where(is_round, 1.0, 1 - flat))
        axes = _RADII * radius / root, _RADII * radius * root
    radii = np.stack([*axes, np.where(is_round, 0.0, theta)], axis=1)
    return np.where(_is_ellipse(moments), moments, np.where(_is_ellipse(radii), radii, np.nan))


def ellipses_on_sky(
    ellipses: NDArray[np.float64], places: NDArray[np.float64], wcs: WCS
) -> NDArray[np.float64]:
    """Return ellipses of pixels on the sky.

    Parameters
    ----------
    ellipses : (n, 3) array
        As :func:`ellipses_of` gives them.
    places : (n, 2) array
        x and y of their centres, pixels.
    wcs : astropy.wcs.WCS
        With celestial axes. Its scale, shear and orientation are those at each centre.

    Returns
    -------
    (n, 3) float64
        Semi-axes in arcsec, and the angle as DS9 counts it: position angle, from north through
        east, of the first axis plus 90 degrees. NaN off the sky.
    """
    angle = np.radians(ellipses[:, 2])
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1)
    axes = turn.reshape(-1, 2, 2) * ellipses[:, None, :2]
    known = _is_finite(ellipses) & _is_finite(places)
    steps = np.full((len(places), 2, 2), np.nan)
    if known.any():
        steps[known] = _steps(places[known], wcs)
        known = known & _is_finite(steps.reshape(-1, 4))
    found = np.full(ellipses.shape, np.nan)
    # The image of a circle under a linear map is an ellipse with the singular values as axes.
    direction, sizes, _ = np.linalg.svd(steps[known] @ axes[known])
    east, north = direction[:, 0, 0], direction[:, 1, 0]
    found[known, :2] = sizes
    found[known, 2] = np.degrees(np.arctan2(east, north)) % 180 + 90
    return found


def colors_of(table: QTable) -> list[str | None]:
    """Return the colour of each source; None where nothing tells what it is.

    Parameters
    ----------
    table : QTable
        A source is flagged where ``flag`` or ``flags`` is not 0 or ``n_flagged`` counts pixels;
        else it is a star where ``star_probability`` is above one half, and a galaxy below.
    """
    flagged = np.zeros(len(table), dtype=bool)
    for name in ("flag", "flags", "n_flagged"):
        if name in table.colnames and np.asarray(table[name]).dtype.kind in "iub":
            flagged |= np.asarray(table[name]) != 0
    star = _values(table, "star_probability", "")
    classes = np.select([flagged, star > 0.5, star <= 0.5], [FLAGGED, STAR, GALAXY], "")  # noqa: PLR2004
    return [str(name) or None for name in classes]


def region_lines(sources: Sources, label: str) -> Iterator[str]:
    """Yield the lines of a DS9 region file: the system, then a region for each source.

    Parameters
    ----------
    sources : Sources
        A source without a finite position has no region. On the sky (ICRS) where the catalogue has
        ``ra`` and ``dec``; an ellipse needs the WCS of their grid then, and without it all are
        points. Else in pixels, which count from 1 there.
    label : str
        Frame that they are of; it is part of the text beside each.
    """
    table = sources.table
    on_sky = "ra" in table.colnames
    pixels = np.stack([_values(table, name, "pix") for name in ("x", "y")], axis=1)
    ellipses, places, mark = ellipses_of(table), pixels + 1, ""
    if on_sky:
        places, mark = np.stack([_values(table, n, "deg") for n in ("ra", "dec")], axis=1), '"'
        wcs = None if sources.grid is None else sources.grid.wcs
        has_sky = wcs is not None and wcs.has_celestial
        ellipses = ellipses_on_sky(ellipses, pixels, wcs) if has_sky else ellipses * np.nan
    yield "icrs" if on_sky else "image"
    is_placed, is_wide = _is_finite(places), _is_finite(ellipses)
    for row, color in enumerate(colors_of(table)):
        if is_placed[row]:
            center, (a, b, angle) = "{:.8f},{:.8f}".format(*places[row]), ellipses[row]
            shape = f"ellipse({center},{a:.5f}{mark},{b:.5f}{mark},{angle:.4f})"
            look = "" if color is None else f" color={color}"
            text = f"text={{{label} {table['id'][row]}}} tag={{{SOURCE_TAG}}}"
            yield f"{shape if is_wide[row] else f'point({center})'} # {text}{look}"


def _is_ellipse(shapes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (n, 1) whether a shape has two axes and an angle."""
    with np.errstate(invalid="ignore"):
        wide = np.asarray((shapes[:, :2] > 0).all(axis=1))
    return (_is_finite(shapes) & wide)[:, None]


def _is_finite(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (n,) whether all numbers of a row are finite."""
    return np.asarray(np.isfinite(rows).all(axis=1))


def _steps(places: NDArray[np.float64], wcs: WCS) -> NDArray[np.float64]:
    """Return (n, 2, 2): arcsec to the east and north (rows) that a pixel along x and y takes."""
    sky = wcs.celestial
    center = sky.pixel_to_world(*places.T).icrs
    steps = np.empty((len(places), 2, 2))
    for axis, offset in enumerate(np.eye(2)):
        other = sky.pixel_to_world(*(places + offset).T).icrs
        distance, angle = center.separation(other).arcsec, center.position_angle(other).rad
        steps[:, 0, axis], steps[:, 1, axis] = distance * np.sin(angle), distance * np.cos(angle)
    return steps


def _values(table: QTable, name: str, unit: str) -> NDArray[np.float64]:
    """Return a column as plain numbers in a unit; NaN where it tells nothing in that unit."""
    from astropy import units as u  # noqa: PLC0415 - heavy

    nothing = np.full(len(table), np.nan)
    if name not in table.colnames:
        return nothing
    column = table[name]
    hidden = np.asarray(getattr(column, "mask", False))
    bare = np.ma.getdata(getattr(column, "unmasked", column))
    given = getattr(column, "unit", None)
    try:
        factor = 1.0 if given is None else given.to(u.Unit(unit))
    except u.UnitConversionError:
        return nothing
    values = np.asarray(getattr(bare, "value", bare))
    if values.dtype.kind not in "fiu":
        return nothing
    return np.where(hidden, np.nan, values.astype(float) * factor)
