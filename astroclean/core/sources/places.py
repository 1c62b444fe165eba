"""Where a user's catalogue has the positions of its sources, and how they count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from astroclean.core.sources.catalogs import pixel_columns, sky_columns
from astroclean.core.stage.options import StageOptions
from astroclean.errors import StageError

if TYPE_CHECKING:
    from astropy.table import Table

    from astroclean.core.image.frame import Frame
    from astroclean.core.stage.resources import TableResource

__all__ = ["PlaceOptions", "check_places", "table_of_file"]

_REGIONS = ".reg"


class PlaceOptions(StageOptions):
    """Settings of every stage that takes a catalogue: which columns are positions."""

    coordinates: Literal["auto", "sky", "pixels"] = "auto"
    """Which columns of a catalogue of yours are the positions, where there are several: on the sky
    (``ra``, ``dec``), or in pixels (``x``, ``y``); ``auto``: on the sky where the frame has a
    WCS."""
    first_pixel: Literal[0, 1] | None = None
    """What the center of the first pixel is in columns of pixels: 1 in FITS, DS9 and SExtractor,
    0 in Python and in catalogues of astroclean. None: ``X_IMAGE``, ``Y_IMAGE`` count from 1, all
    others from 0, and a note says so."""


def table_of_file(file: TableResource, places: PlaceOptions, *, where: str) -> Table:
    """Return the catalogue of an option.

    Raises
    ------
    StageError
        It is a file of DS9 regions, and ``first_pixel`` is given.
    """
    if places.first_pixel is not None and file.path.lower().endswith(_REGIONS):
        raise StageError(
            "DS9 regions tell themselves how they count pixels",
            where=where,
            received=f"first_pixel = {places.first_pixel}",
            remedy="Leave out first_pixel.",
        )
    return file.table


def check_places(
    table: Table, frame: Frame, places: PlaceOptions, *, where: str
) -> tuple[str, ...]:
    """Return the columns that hold the positions.

    Parameters
    ----------
    table : Table
        The catalogue.
    frame : Frame
        Its WCS counts alone.
    places : PlaceOptions
        As asked for.
    where : str
        Named in errors.

    Raises
    ------
    StageError
        There are none, or they need a WCS that the frame has not.
    """
    sky, pixels = sky_columns(table), pixel_columns(table)
    has_wcs = frame.wcs is not None and frame.wcs.has_celestial
    wanted = {"sky": sky, "pixels": pixels, "auto": (sky if has_wcs else ()) or pixels or sky}
    names = wanted[places.coordinates]
    if not names:
        columns = ", ".join(table.colnames) or "none"
        raise StageError(
            "the catalogue has no columns of positions that are known"
            if places.coordinates == "auto"
            else "the catalogue has no positions as asked for",
            where=where,
            received=f"coordinates = '{places.coordinates}'; columns {columns}",
            remedy="Name them ra and dec (degrees, ICRS), or x and y (pixels).",
        )
    if names == sky and not has_wcs:
        raise StageError(
            "the catalogue has positions on the sky, and the frame has no celestial WCS",
            where=where,
            received=", ".join(names),
            remedy="Give the frame a WCS, or the catalogue columns x and y in pixels.",
        )
    return names
