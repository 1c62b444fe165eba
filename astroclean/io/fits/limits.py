"""Walk the HDUs of a file and refuse headers that no reader should believe.

Readers loop up to the numbers of a header (NAXIS, TFIELDS) and allocate what it asks for. So the
numbers are held against the standard before a reader sees them. The walk reads headers and skips
data, hence serves a stream that is being unpacked too.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Protocol

from astroclean.errors import FitsReadError
from astroclean.io.fits.blocks import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MOST_HDUS", "REMEDY_FOR_DAMAGE", "Walked", "walk_hdus"]

_HEADER_BLOCKS = 2000
"""Of one header: 72000 cards."""
MOST_HDUS = 5000
"""HDUs of a file."""
_CARD = 80
REMEDY_FOR_DAMAGE = "Check it with fitsverify, or fetch it again."
_INTEGER = re.compile(rb"\s*([+-]?\d+)\s*(?:/|$)")
_LEAST_MOST: dict[bytes, tuple[int, int]] = {
    b"NAXIS": (0, 999),  # FITS standard 4.0, section 4.4.1
    b"ZNAXIS": (0, 999),
    b"TFIELDS": (0, 999),  # section 7.3.1
    b"PCOUNT": (0, 1 << 62),
    b"GCOUNT": (0, 1 << 62),
    b"WCSAXES": (0, 99),
    # The SIP convention (Shupe et al. 2005) goes to 9.
    **{f"{name}_ORDER".encode(): (0, 99) for name in ("A", "B", "AP", "BP")},
}
_AXIS = re.compile(rb"Z?NAXIS([1-9]\d*)$")
_LONGEST_AXIS = 1 << 62
_SHOWN = 24  # digits of a number


class Walked(Protocol):
    """What a walk reads from, in one direction."""

    def read(self, size: int) -> bytes:
        """Return the next bytes; fewer at the end."""

    def skip(self, size: int) -> int:
        """Pass over bytes; return how many there were."""


def walk_hdus(stream: Walked, *, where: str, before: Callable[[int], None] | None = None) -> int:
    """Pass over all HDUs of a file.

    Parameters
    ----------
    stream : Walked
        Stands at the beginning of the file.
    where : str
        The file, for messages.
    before : callable, optional
        Called with the end of an HDU in bytes, by its header, before its data are passed over.

    Returns
    -------
    int
        Bytes up to the end of the last HDU, or of the file where it ends before.

    Raises
    ------
    FitsReadError
        A header is longer, has more axes or columns, or other numbers than FITS allows.
    """
    place = 0
    for _ in range(MOST_HDUS):
        cards, length = _header(stream, where, first=place == 0)
        place += length
        if not cards:
            return place
        size = _data_size(cards, where)
        padded = -(-size // BLOCK) * BLOCK
        if before is not None:
            before(place + padded)
        passed = stream.skip(padded)
        place += passed
        if passed < padded:
            return place
    if stream.read(1):
        problem = f"damaged: more than {MOST_HDUS} HDUs"
        raise FitsReadError(problem, where=where, remedy=REMEDY_FOR_DAMAGE)
    return place


def _header(stream: Walked, where: str, *, first: bool) -> tuple[list[bytes], int]:
    """Return the cards of the next header, and its length; no card behind the last HDU."""
    cards: list[bytes] = []
    for number in range(_HEADER_BLOCKS):
        block = stream.read(BLOCK)
        if number == 0 and not block.startswith(b"SIMPLE" if first else b"XTENSION"):
            return [], len(block)  # no FITS, or something behind it: a matter of the reader
        found = [block[at : at + _CARD] for at in range(0, len(block), _CARD)]
        for card in found:
            if card[:8].rstrip() == b"END":
                return cards, (number + 1) * BLOCK
            cards.append(card)
        if len(block) < BLOCK:
            return [], number * BLOCK + len(block)
    problem = f"damaged: a header without END in {_HEADER_BLOCKS} blocks"
    raise FitsReadError(problem, where=where, remedy=REMEDY_FOR_DAMAGE)


def _data_size(cards: list[bytes], where: str) -> int:
    """Return the bytes of the data by the header, without padding (section 4.4.1, eq. 1 and 2)."""
    numbers: dict[bytes, int] = {}
    groups = False
    for card in cards:
        keyword = card[:8].rstrip()
        axis = _AXIS.match(keyword)
        limits = (0, _LONGEST_AXIS) if axis else _LEAST_MOST.get(keyword)
        if keyword == b"GROUPS":
            groups = card[10:30].strip() == b"T"
        if limits is None and keyword != b"BITPIX":
            continue
        told = _INTEGER.match(card[10:]) if card[8:10] == b"= " else None
        if told is None:
            continue  # not an integer: a reader finds that out by itself
        digits = told[1].decode("ascii")
        value = int(digits) if len(digits) <= _SHOWN else limits[1] + 1 if limits else 0
        if limits is not None and not limits[0] <= value <= limits[1]:
            raise FitsReadError(
                f"damaged: {keyword.decode('ascii')} must be {limits[0]} to {limits[1]}",
                where=where,
                received=digits[:_SHOWN],
                remedy=REMEDY_FOR_DAMAGE,
            )
        numbers.setdefault(keyword, value)
    axes = [numbers.get(f"NAXIS{n}".encode(), 0) for n in range(1, numbers.get(b"NAXIS", 0) + 1)]
    if groups and axes and axes[0] == 0:
        axes = axes[1:]
    if not axes:
        return 0
    pixels = numbers.get(b"GCOUNT", 1) * (numbers.get(b"PCOUNT", 0) + math.prod(axes))
    return abs(numbers.get(b"BITPIX", 8)) // 8 * pixels
