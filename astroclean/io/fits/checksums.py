"""Sums that a FITS file tells of its own data, held against the bytes that are there.

The algorithm is that of the FITS Standard 4.0, appendix J: the sum of 32-bit words with the carry
brought round.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
from astropy.io import fits

from astroclean.core.regular import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from astroclean.io.fits.hdu_info import HduInfo
    from astroclean.io.fits.source import FitsSource

__all__ = ["digest_and_sums", "wrong_sums"]

_KEYWORD = b"DATASUM "
_MOST_NAMED = 3
_WORD = 4
_CARRY = 32  # bits
_ONES = 0xFFFFFFFF
_CHUNK = 1 << 22  # bytes; whole words


class _Sum:
    """Takes bytes as a file would, and keeps their sum alone."""

    def __init__(self) -> None:
        self.value = 0

    def write(self, part: bytes) -> int:
        words = np.frombuffer(part.ljust(-(-len(part) // _WORD) * _WORD, b"\0"), dtype=">u4")
        total = self.value + int(words.sum(dtype=np.uint64))  # 2^32 words fit
        while total >> _CARRY:
            total = (total & _ONES) + (total >> _CARRY)
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
    found: dict[HduInfo, _Sum] = {}
    for info in source.hdus:
        if _told(source, info) is not None:
            found[info] = _Sum()
            source.copy_bytes(info, cast("BinaryIO", found[info]), data_only=True)
    return _of_wrong(source, found)


def digest_and_sums(source: FitsSource, content: bytes | None = None) -> tuple[str, list[str]]:
    """Return the SHA-256 of a file, and what :func:`wrong_sums` does, from one reading.

    Parameters
    ----------
    source : FitsSource
        Open file. Of a packed one, the packed bytes are hashed, and the sums are those of the
        unpacked copy.
    content : bytes, optional
        The bytes of the file, where they have been read.

    Returns
    -------
    (str, list of str)
        Hexadecimal digest; one text for all HDUs with a wrong sum, or none.
    """
    digest = hashlib.sha256()
    with open_regular(source.local) if content is None else io.BytesIO(content) as stored:
        if not source.is_plain:
            return hashlib.file_digest(stored, "sha256").hexdigest(), wrong_sums(source)
        found = {info: _Sum() for info in source.hdus if _told(source, info) is not None}
        for info, part in _stored_parts(source, stored):
            digest.update(part)
            if info in found:
                found[info].write(part)
    return digest.hexdigest(), _of_wrong(source, found)


def _stored_parts(source: FitsSource, stored: BinaryIO) -> Iterator[tuple[HduInfo | None, bytes]]:
    """Yield every byte of a plain file in order: data with their HDU, all else without."""
    ends: list[tuple[int | None, HduInfo | None]] = []
    for hdu in source.hdus:
        ends += [(hdu.data_start, None), (hdu.end, hdu)]
    place = 0
    for end, info in [*ends, (None, None)]:  # what follows the last HDU
        while end is None or place < end:
            part = stored.read(_CHUNK if end is None else min(_CHUNK, end - place))
            if not part:
                break
            place += len(part)
            yield info, part


def _of_wrong(source: FitsSource, sums: Mapping[HduInfo, _Sum]) -> list[str]:
    """Return what to say of sums that are not those of their headers."""
    # Zero and all ones are the same number in this arithmetic.
    wrong = (i for i, s in sums.items() if (_told(source, i) or 0) % _ONES != s.value % _ONES)
    found = [f"[{info.label}]" for info in wrong]
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
