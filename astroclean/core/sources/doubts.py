"""What a catalogue of the user's leaves open: whose rows, which places, how pixels count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.sources.catalogs import (
    FIRST_PIXEL,
    own_column,
    pixel_columns,
    pixel_places,
    sky_columns,
)
from astroclean.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.table import Table
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["contradiction", "pixel_convention", "rows_of_frame"]

_SAME = 1.0
"""Pixels within which two positions of a source are the same: those on the sky may be rounded."""


def rows_of_frame(
    table: Table, frame: Frame, names: Sequence[str], *, where: str
) -> tuple[Table, list[str]]:
    """Return the rows of a frame, of a catalogue that a run has written, and what to note.

    Positions on the sky hold for other frames, too, which is noted; those in pixels do not.

    Parameters
    ----------
    table : Table
        Column ``hdu`` tells the frame of each row, as ``[SCI,1]``; without it all are of any frame.
    frame : Frame
        Its ``frame_id`` counts alone.
    names : sequence of str
        Columns that the positions are taken from.
    where : str
        Named in errors.

    Raises
    ------
    StageError
        All rows are those of several others, or of one other and in its pixels.
    """
    own = own_column(table, ("hdu",))
    if own is None or not len(table):
        return table, []
    labels = np.asarray(table[own]).astype(str)
    mine = np.array([_is_named(frame, label) for label in labels], dtype=bool)
    if mine.any():
        return table[mine], []
    several = np.unique(labels)
    if len(several) == 1 and "[" not in frame.frame_id:  # one that was made in Python
        return table, []
    if len(several) > 1:
        problem = "the catalogue has the sources of several frames, and none of this one"
    elif names == pixel_columns(table):
        problem = "the catalogue has positions in pixels of another frame"
    else:
        note = f"column '{own}' of the catalogue names {several[0]}, another frame: its positions "
        return table, [f"{note}on the sky are taken"]
    raise StageError(
        problem,
        where=where,
        received=f"column '{own}': {', '.join(several)}",
        remedy="Give the rows of this frame, or leave that column out if they are.",
    )


def _is_named(frame: Frame, label: str) -> bool:
    """Whether a label, as ``[SCI,1]`` or ``SCI,1``, is that of a frame; an empty one is of any."""
    return not label or frame.frame_id.endswith(label if "[" in label else f"[{label}]")


def contradiction(
    table: Table, frame: Frame, taken: NDArray[np.float64], *, first_pixel: int | None
) -> list[str]:
    """Return what to note where columns of pixels tell other places than those on the sky.

    Parameters
    ----------
    table : Table
        n rows, whose positions on the sky were taken.
    frame : Frame
        On whose pixels they are.
    taken : (2, n) float64
        These positions, x and y; NaN off the frame.
    first_pixel : int or None
        As asked for; None: as the columns tell.
    """
    names = pixel_columns(table)
    if not names:
        return []
    try:
        other = np.stack(pixel_places(table, names, frame, "", first=first_pixel))
    except StageError:  # nobody relies on these columns, whatever they hold
        return []
    apart = np.hypot(*(other - taken))
    differ = apart > _SAME  # NaN is no place that could differ
    if not differ.any():
        return []
    listed, sky = ", ".join(names), ", ".join(sky_columns(table))
    every = np.count_nonzero(~np.isnan(apart))
    note = (
        f"columns {listed} place {np.count_nonzero(differ)} of {every} sources elsewhere "
        f"than {sky}, by {np.median(apart[differ]):.1f} pixels (median); "
        f"{sky} were taken: leave out the columns that are wrong, or another image's"
    )
    return [note]


def pixel_convention(table: Table, names: Sequence[str]) -> list[str]:
    """Return how pixels were counted, where not astroclean itself has written the table.

    Parameters
    ----------
    table : Table
        Its metadata tell who wrote it.
    names : sequence of str
        Its two columns of pixels.
    """
    if {"astroclean", "ACVERS"} & set(table.meta):
        return []
    first = FIRST_PIXEL[names[0].lower(), names[1].lower()]
    other = "" if first else "; if 1 as in FITS and DS9: first_pixel = 1"
    return [f"the center of the first pixel is {first} in columns {', '.join(names)}{other}"]
