"""The sources that a catalogue of the user's gives a frame: as they are given, or refused."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u

from astroclean.core.sources.catalogs import (
    ID_NAMES,
    own_column,
    pixel_columns,
    pixel_places,
    projected,
    sky_columns,
    sky_places,
)
from astroclean.core.sources.columns import COLUMNS, FLUX, FLUX_SQUARED, PIXEL_VALUE
from astroclean.core.sources.doubts import contradiction, pixel_convention, rows_of_frame
from astroclean.core.sources.places import check_places, table_of_file
from astroclean.core.sources.sources import Sources
from astroclean.core.stage.scope import chunk_of, rows_of
from astroclean.errors import AstrocleanWarning, StageError, SuspectWarning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.table import QTable, Table
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.sources.places import PlaceOptions
    from astroclean.core.stage.resources import TableResource

__all__ = ["GivenSources", "given_sources", "sources_of_file"]

_SPELLED = {
    "a_image": "a",
    "b_image": "b",
    "theta_image": "theta",
    "flux_radius": "half_light_radius",
    "flux_fit": "flux",
    "class_star": "star_probability",
}
"""Columns of SExtractor and photutils to those of `astroclean.core.sources.columns`."""
_PLACES = ("hdu", "id", "x", "y", "ra", "dec")
"""Columns that are told by the positions themselves."""
_OF_THE_FRAME = (FLUX, FLUX_SQUARED, PIXEL_VALUE)
_LISTED, _MOST_LISTED = 5, 10
"""Ids that a message tells: of faults, and of sources off the frame."""


@dataclass(frozen=True, eq=False)
class GivenSources:
    """Those that lie on the frame."""

    sources: Sources
    outside: tuple[int, ...]
    """Ids of those that do not."""
    listed: int
    """Rows that the table has for the frame."""
    notes: tuple[str, ...]
    """How the table was read, where it could be read otherwise."""


def given_sources(
    table: Table, frame: Frame, places: PlaceOptions, *, where: str, by_id: bool = True
) -> GivenSources:
    """Return the sources of a frame that a catalogue lists, with their ids.

    Parameters
    ----------
    table : Table
        A row a source. Columns of positions as `astroclean.core.sources.catalogs` knows them;
        those of numbers that `astroclean.core.sources.columns` knows come along. Where a column
        ``hdu`` tells frames, the rows of this one.
    frame : Frame
        Gives WCS and shape; where it is a chunk, the sources on it.
    places : PlaceOptions
        Which columns are positions.
    where : str
        Named in errors.
    by_id : bool
        Whether sources are in order of ids; else in that of the table.

    Returns
    -------
    GivenSources
        Without a column of ids, the number of the row, from 1.

    Raises
    ------
    StageError
        No positions, or such that are no finite numbers; ids that are no whole numbers from 1, or
        occur twice; positions on the sky and no WCS; positions in pixels of other frames.
    """
    names = check_places(table, frame, places, where=where)
    table, others = rows_of_frame(table, frame, names, where=where)
    ids, notes = _ids(table, where)
    notes += others
    _refuse_gaps(table, names, ids, where)
    if names == sky_columns(table):
        assert frame.wcs is not None  # checked above
        x, y = projected(*sky_places(table, names, where), frame.wcs.celestial, where)
    else:
        x, y = pixel_places(table, names, frame, where, first=places.first_pixel)
        if places.first_pixel is None:
            notes += pixel_convention(table, names)
    on_frame, here = _on_pixels(frame, x, y)
    if names == sky_columns(table) and places.coordinates == "auto" and not others:
        taken = np.where(on_frame, [x, y], np.nan)
        notes += contradiction(table, frame, taken, first_pixel=places.first_pixel)
    rows = np.flatnonzero(here)
    if by_id:
        rows = rows[np.argsort(ids[rows], kind="stable")]
    found, more = _table(table, rows)
    found.add_columns([ids[rows], x[rows], y[rows]], indexes=[0, 0, 0], names=["id", "x", "y"])
    for name in ("id", "x", "y"):
        found[name].info.description = COLUMNS[name].meaning
    outside = tuple(int(number) for number in ids[~on_frame])
    return GivenSources(Sources(found, ids_stay=True), outside, len(ids), (*notes, *more))


def sources_of_file(
    file: TableResource, frame: Frame, places: PlaceOptions, *, where: str, by_id: bool = True
) -> GivenSources:
    """Return the sources of a frame that the file of an option lists, and warn of what is odd.

    Parameters
    ----------
    file : TableResource
        The catalogue.
    frame, places, where, by_id
        As for `given_sources`; ``where`` is named in the warnings, too.

    Returns
    -------
    GivenSources
        As of `given_sources`.

    Raises
    ------
    StageError
        As of `given_sources`; DS9 regions with ``first_pixel``.

    Warns
    -----
    AstrocleanWarning
        Of each note, of a catalogue without rows, and of sources off the frame.
    SuspectWarning
        No source lies on the frame.
    """
    table = table_of_file(file, places, where=where)
    given = given_sources(table, frame, places, where=where, by_id=by_id)
    _tell(given, where)
    return given


def _tell(given: GivenSources, where: str) -> None:
    for note in given.notes:
        warnings.warn(f"{where}: {note}", AstrocleanWarning, stacklevel=4)
    if not given.listed:
        text = f"{where}: the catalogue has no rows for it: there are no sources"
        warnings.warn(text, AstrocleanWarning, stacklevel=4)
    if not given.outside:
        return
    ids = _listed(given.outside, most=_MOST_LISTED)
    text = f"{len(given.outside)} sources of the catalogue lie off the frame: ids {ids}"
    every = len(given.outside) == given.listed
    if every:
        text = f"{text}. None lies on it: are the positions another frame's?"
    kind = SuspectWarning if every else AstrocleanWarning
    warnings.warn(f"{where}: {text}", kind, stacklevel=4)


def _on_pixels(
    frame: Frame, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which positions lie on the whole of a frame, and which on the chunk at hand."""
    chunk = chunk_of(frame)
    known = np.isfinite(x) & np.isfinite(y)
    column = np.rint(np.where(known, x, -1) + chunk.origin[1])
    row = rows_of(frame, np.where(known, y, -1.0 - chunk.origin[0]))
    on_frame = known & (row >= 0) & (row < chunk.shape[0])
    on_frame &= (column >= 0) & (column < chunk.shape[1])
    here = on_frame & (row >= chunk.origin[0]) & (row < chunk.origin[0] + frame.shape[0])
    return on_frame, here


def _ids(table: Table, where: str) -> tuple[NDArray[np.int32], list[str]]:
    own = own_column(table, ID_NAMES)
    if own is None:
        note = f"the catalogue has no column of ids ({', '.join(ID_NAMES)}): rows are numbered"
        return np.arange(1, len(table) + 1, dtype=np.int32), [note]
    given = np.asarray(np.ma.getdata(table[own]))
    if given.dtype.kind == "f" and np.all(np.isfinite(given)) and np.all(given == np.rint(given)):
        given = given.astype(np.int64)  # CSV with a decimal point, as of a data frame
    masked = bool(np.any(getattr(table[own], "mask", False)))
    most = np.iinfo(np.int32).max
    if len(table) and (masked or given.dtype.kind not in "iu" or given.ndim != 1):
        gap = "a row has none" if masked else f"type {given.dtype}"
        raise _wrong_ids(f"column '{own}' must hold one whole number a row", gap, where)
    outside = given[(given < 1) | (given > most)]
    if outside.size:
        text = f"ids of column '{own}' must be from 1 to {most}: a segmentation has room for these"
        raise _wrong_ids(text, str(outside[0]), where)
    numbers, counts = np.unique(given, return_counts=True)
    if (counts > 1).any():
        twice = _listed(numbers[counts > 1])
        raise _wrong_ids(f"ids of column '{own}' occur more than once", twice, where)
    return given.astype(np.int32), []


def _wrong_ids(problem: str, received: str, where: str) -> StageError:
    remedy = "Mend them, or rename the column: without one, rows are numbered from 1."
    return StageError(problem, where=where, received=received, remedy=remedy)


def _refuse_gaps(table: Table, names: Sequence[str], ids: NDArray[np.int32], where: str) -> None:
    for name in names:
        column = getattr(table[name], "data", table[name]) if len(names) == 1 else table[name]
        parts = (column.lon, column.lat) if hasattr(column, "lon") else (column,)
        for part in parts:
            bare = np.asarray(np.ma.getdata(getattr(part, "unmasked", part)))
            if bare.ndim != 1:
                continue  # several numbers a row are refused by who takes them for positions
            bad = np.array(np.broadcast_to(getattr(part, "mask", False), len(table)))
            if bare.dtype.kind == "f":
                bad |= ~np.isfinite(bare)
            if bad.any():
                raise StageError(
                    f"{np.count_nonzero(bad)} sources have no position in column '{name}'",
                    where=where,
                    received=f"ids {_listed(ids[bad])}",
                    remedy="Give each a finite position, or leave its row out.",
                )


def _listed(numbers: Any, *, most: int = _LISTED) -> str:
    told = ", ".join(str(int(number)) for number in numbers[:most])
    return f"{told}, ..." if len(numbers) > most else told


def _table(table: Table, rows: NDArray[np.intp]) -> tuple[QTable, list[str]]:
    """Return the columns that are known, and a note of those that could be and are not."""
    from astropy.table import QTable  # noqa: PLC0415 - core stays light to import

    found, left = QTable(), []
    positions = {*sky_columns(table), *pixel_columns(table)}
    for own in table.colnames:
        name = _SPELLED.get(own.lower(), own.lower())
        if name not in COLUMNS or name in (*_PLACES, *found.colnames) or own in positions:
            continue
        values = _values(table[own], rows)
        if values is None:
            left.append(own)
            continue
        found[name] = values
        unit = COLUMNS[name].unit
        if unit and unit not in _OF_THE_FRAME and getattr(values, "unit", None) is None:
            found[name] = u.Quantity(values, unit)
        found[name].info.description = getattr(table[own].info, "description", None)
    note = f"columns {', '.join(left)} hold no numbers, or gaps, and are left out"
    return found, [note] if left else []


def _values(column: Any, rows: NDArray[np.intp]) -> Any:
    """Return the numbers of a column in some rows, NaN for gaps; None where it has no such."""
    unit = getattr(column, "unit", None)
    bare = np.asarray(np.ma.getdata(getattr(column, "unmasked", column)))[rows]
    hidden = np.broadcast_to(getattr(column, "mask", False), len(column))[rows]
    if bare.dtype.kind not in "iufb" or bare.ndim != 1:
        return None
    if hidden.any():
        if bare.dtype.kind != "f":
            return None
        bare = np.where(hidden, np.nan, bare)
    native = bare.astype(bare.dtype.newbyteorder("="))
    return native if unit in (None, u.dimensionless_unscaled) else u.Quantity(native, unit)
