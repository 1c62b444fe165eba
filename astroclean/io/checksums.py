"""Sums that a FITS file tells of its own data, held against the bytes that are there.

The algorithm is that of the FITS Standard 4.0, appendix J: the sum of 32-bit words with the carry
brought round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
from astropy.io import fits

if TYPE_CHECKING:
    from astroclean.io.hdu_info import HduInfo
    from astroclean.io.source import FitsSource

__all__ = ["wrong_sums"]

_KEYWORD = b"DATASUM "
_MOST_NAMED = 3
_WORD = 4
_CARRY = 32  # bits


class _Sum:
    """Takes bytes as a file would, and keeps their sum alone."""

    def __init__(self) -> None:
        self.value = 0

    def write(self, part: bytes) -> int:
        words = np.frombuffer(part.ljust(-(-len(part) // _WORD) * _WORD, b"\0"), dtype=">u4")
        total = self.value + int(words.sum(dtype=np.uint64))  # 2^32 words fit
        while total >> _CARRY:
            total = (total & 0xFFFFFFFF) + (total >> _CARRY)
        self.value = total
        return len(part)


def wrong_sums(source: FitsSource) -> list[str]:
    """Return what to say of HDUs whose ``DATASUM`` is not that of their data.

    CHECKSUM is left alone: it covers the header too, which many programs edit without renewing it.

    Parameters
    ----------
    source : FitsSource
        Open file; data of HDUs without the card are not read.

    Returns
    -------
    list of str
        One text for all such HDUs, or none.
    """
    found: list[str] = []
    for info in source.hdus:
        told = _told(source, info)
        if told is None:
            continue
        data = _Sum()
        source.copy_bytes(info, cast("BinaryIO", data), data_only=True)
        # Zero and all ones are the same number in this arithmetic.
        if told % 0xFFFFFFFF != data.value % 0xFFFFFFFF:
            found.append(f"[{info.label}]")
    if not found:
        return []
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    named = ", ".join(found[:_MOST_NAMED])
    fault = "is not the sum of the data: they were changed after it was written, or are damaged"
    return [f"DATASUM of {named}{more} {fault}"]


def _told(source: FitsSource, info: HduInfo) -> int | None:
    """Return the sum that a header tells; None where it tells none, or nothing understandable."""
    card = next((c for c in source.raw_cards(info) if c.startswith(_KEYWORD)), None)
    if card is None:
        return None
    try:
        return int(str(fits.Card.fromstring(card).value).strip())
    except (ValueError, fits.VerifyError):
        return None
