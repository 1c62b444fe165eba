"""The mask planes: the one table that gives every bit of ``Frame.flags`` its name and meaning."""

from __future__ import annotations

import enum
import functools
import operator
from typing import TYPE_CHECKING, Self

import numpy as np

from astroclean.core.suggest import did_you_mean
from astroclean.errors import PlaneError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from astropy.io.fits import Header
    from astropy.table import Table
    from numpy.typing import NDArray

__all__ = [
    "FILLABLE",
    "MADE_UP",
    "REJECTING",
    "MaskPlane",
    "count_planes",
    "parse_planes",
    "plane_cards",
    "plane_table",
]

PlaneLike = "MaskPlane | int | str"


class MaskPlane(enum.IntFlag):
    """One bit of the flags: (bit, alias, meaning, whether it rejects, whether it is filled).

    A plane that *rejects* says: do not use the value for measuring. One that *fills* says: the
    value is not the sky's, and a filler may replace it without being told to. To flag a star as
    saturated is no licence to take it out of the image.

    Bits 0 to 12 are the codes of MaxiMask (Paillassa, Bertin & Bouy 2020, A&A 634, A48);
    bits 25 to 27 are reserved; the ``USER`` planes belong to third-party plugins.
    """

    alias: str
    meaning: str
    rejects: bool
    fills: bool

    def __new__(
        cls,
        bit: int,
        alias: str = "",
        meaning: str = "",
        rejects: bool = False,
        fills: bool = False,
    ) -> Self:
        """Make a member from its row of the table."""
        member = int.__new__(cls, 1 << bit)
        member._value_ = 1 << bit
        member.alias, member.meaning = alias, meaning
        member.rejects, member.fills = rejects, fills
        return member

    COSMIC_RAY = (0, "CR", "particle hit", True, True)
    HOT_LINE = (1, "HCL", "hot column or line", True, True)
    DEAD_LINE = (2, "DCL", "dead column, line or cluster", True, True)
    HOT_PIXEL = (3, "HP", "hot pixel", True, True)
    DEAD_PIXEL = (4, "DP", "dead pixel", True, True)
    PERSISTENCE = (5, "P", "afterglow of an earlier exposure", True)
    TRAIL = (6, "TRL", "satellite, meteor, aircraft", True)
    FRINGE = (7, "FR", "residual fringes", False)
    NEBULOSITY = (8, "NEB", "extended emission", False)
    SATURATED = (9, "SAT", "at or above full well, with bleeding", True)
    SPIKE = (10, "SP", "diffraction spike", True)
    OVERSCAN = (11, "OV", "not exposed to the sky", True)
    BRIGHT = (12, "BBG", "bright astronomical object", False)
    GHOST = (13, "GH", "optical ghost or stray light", True)
    CROSSTALK = (14, "XT", "electronic ghost", True)
    BAD_PIXEL = (15, "BAD", "from the observatory's map or DQ, cause not told", True, True)
    NO_DATA = (16, "ND", "NaN, outside coverage, not read", True)
    SUSPECT = (17, "SUS", "usable with care", False)
    EDGE = (18, "ED", "too near the edge for the method", False)
    SOURCE = (19, "SRC", "inside a detected source", False)
    INTERPOLATED = (20, "INT", "value filled by interpolation", False)
    INPAINTED = (21, "INP", "value filled by a network", False)
    REMOVED = (22, "REM", "a source was taken out here", False)
    CLIPPED = (23, "CLP", "value limited by a stage", False)
    OUT_OF_DOMAIN = (24, "OOD", "outside what the method was made for", False)
    USER_0 = (28, "U0", "third-party plugin", False)
    USER_1 = (29, "U1", "third-party plugin", False)
    USER_2 = (30, "U2", "third-party plugin", False)
    USER_3 = (31, "U3", "third-party plugin", False)

    def __invert__(self) -> MaskPlane:
        """Return all other planes; before Python 3.11.4 `enum` forgets those with large values."""
        return MaskPlane.union(plane for plane in MaskPlane if not plane & self)

    @property
    def bit(self) -> int:
        """Number of the bit, 0 to 31 (single planes only)."""
        return self.bit_length() - 1

    @classmethod
    def union(cls, planes: Iterable[MaskPlane]) -> MaskPlane:
        """Return the planes joined by OR; no plane at all gives zero."""
        return functools.reduce(operator.or_, planes, NO_PLANE)


# An empty IntFlag value cannot be made through the custom constructor.
NO_PLANE = MaskPlane.COSMIC_RAY & MaskPlane.HOT_LINE

REJECTING = MaskPlane.union(plane for plane in MaskPlane if plane.rejects)
"""The planes that make a pixel unusable unless the run says otherwise (``reject_bits``)."""

FILLABLE = MaskPlane.union(plane for plane in MaskPlane if plane.fills)
"""The planes that fillers replace by default; isolated NO_DATA beside them (`holes_to_fill`)."""

MADE_UP = MaskPlane.INTERPOLATED | MaskPlane.INPAINTED
"""The planes of values of which nothing was measured."""


@functools.cache
def _by_name() -> dict[str, MaskPlane]:
    names = {plane.alias: plane for plane in MaskPlane}
    names.update({str(plane.name): plane for plane in MaskPlane})
    return names


def parse_planes(planes: MaskPlane | int | str | Iterable[MaskPlane | int | str]) -> MaskPlane:
    """Return planes given by name, alias, value, or a mixture, joined by OR.

    Parameters
    ----------
    planes : MaskPlane, int, str or iterable of these
        Names and aliases in any case; text may join several with ``,``, ``|`` or ``+``.

    Returns
    -------
    MaskPlane
        The union.

    Raises
    ------
    PlaneError
        A name is unknown, or a value has bits outside the table.
    """
    if isinstance(planes, MaskPlane):
        return planes
    if isinstance(planes, int):
        return _from_value(planes)
    if isinstance(planes, str):
        parts = planes.replace("|", ",").replace("+", ",").split(",")
        return MaskPlane.union(_from_name(part.strip()) for part in parts if part.strip())
    return MaskPlane.union(parse_planes(plane) for plane in planes)


def _from_name(name: str) -> MaskPlane:
    known = _by_name()
    plane = known.get(name.upper().replace("-", "_"))
    if plane is None:
        raise PlaneError(
            "unknown mask plane", received=repr(name), remedy=did_you_mean(name, known)
        )
    return plane


def _from_value(value: int) -> MaskPlane:
    every = int(MaskPlane.union(MaskPlane))
    if value < 0 or value & ~every:
        raise PlaneError(
            "value has bits that belong to no mask plane",
            received=value,
            remedy="Bits 0 to 24 and 28 to 31 are in use; see `astroclean mask explain`.",
        )
    return MaskPlane.union(plane for plane in MaskPlane if value & plane)


def count_planes(flags: NDArray[np.uint32]) -> dict[str, int]:
    """Count the flagged pixels of each plane that occurs.

    Parameters
    ----------
    flags : (ny, nx) uint32
        Bits of :class:`MaskPlane`. Not modified.

    Returns
    -------
    dict of str to int
        Plane name to number of pixels, in order of bits; planes without a pixel are left out.
    """
    marked = flags[flags != 0]  # most pixels are good, and looked at once
    present = int(np.bitwise_or.reduce(marked)) if marked.size else 0
    return {
        str(plane.name): int(np.count_nonzero(marked & np.uint32(plane)))
        for plane in MaskPlane
        if present & plane
    }


def plane_cards() -> Header:
    """Return the table as FITS cards: LSST ``MP_`` keywords and Rubin name/value/text triplets.

    Returns
    -------
    astropy.io.fits.Header
        For each plane ``MP_<alias>`` (bit number), ``MSKNnnnn`` (name), ``MSKMnnnn`` (value) and
        ``MSKDnnnn`` (meaning).
    """
    from astropy.io.fits import Header  # noqa: PLC0415 - core stays light to import

    header = Header()
    for plane in MaskPlane:
        header[f"MP_{plane.alias}"] = (plane.bit, f"bit of {plane.name}")
        header[f"MSKN{plane.bit:04d}"] = (plane.name, "name of mask plane")
        header[f"MSKM{plane.bit:04d}"] = (int(plane), "value of mask plane")
        header[f"MSKD{plane.bit:04d}"] = (plane.meaning, "meaning")
    return header


def plane_table() -> Table:
    """Return the table of planes as an astropy table.

    Returns
    -------
    astropy.table.Table
        Columns ``bit``, ``value``, ``name``, ``alias``, ``meaning``, ``rejects``, ``fills``.
    """
    from astropy.table import Table  # noqa: PLC0415 - core stays light to import

    rows = [(p.bit, int(p), p.name, p.alias, p.meaning, p.rejects, p.fills) for p in MaskPlane]
    names = ["bit", "value", "name", "alias", "meaning", "rejects", "fills"]
    return Table(rows=rows, names=names)
