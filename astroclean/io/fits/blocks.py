"""HDUs as bytes: cards kept as they stand, checksums, compressed data without a clock."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "card",
    "joined_cards",
    "keyword_of",
    "replaced",
    "split_hdu",
    "summed_cards",
    "without_times",
]

BLOCK = 2880
"""FITS files are written in blocks of this many bytes."""
SUMS = frozenset({"CHECKSUM", "DATASUM"})
"""Cards of the sums of an HDU."""
_CARD = 80
_KEYWORD = 8
_END = b"END".ljust(_CARD)
_GZIP_TIME = range(4, 8)  # bytes of a gzip stream that hold its time
_EXCLUDED = {*range(0x3A, 0x41), *range(0x5B, 0x61)}  # ASCII that is neither digit nor letter


def card(keyword: str, value: Any, comment: str = "") -> bytes:
    """Return one card of 80 bytes."""
    text: str = fits.Card(keyword, value, comment).image
    return text.encode("ascii", "replace")


def keyword_of(raw: bytes) -> str:
    """Return the keyword of a card, without trailing blanks."""
    return raw[:_KEYWORD].decode("latin-1").rstrip()


def split_hdu(content: bytes) -> tuple[list[bytes], bytes]:
    """Return the cards before END, each as it stands, and the data of an HDU."""
    cards = []
    end = 0
    while content[end : end + _CARD].rstrip() != b"END" and end < len(content):
        cards.append(content[end : end + _CARD])
        end += _CARD
    return cards, content[end // BLOCK * BLOCK + BLOCK :]


def joined_cards(cards: Iterable[bytes]) -> bytes:
    """Return a header: the cards, END, and blanks up to a whole block."""
    text = b"".join(cards) + _END
    return text + b" " * (-len(text) % BLOCK)


def replaced(cards: Iterable[bytes], new: bytes) -> list[bytes]:
    """Return cards with the one of the same keyword replaced; all others as they stand."""
    keyword = keyword_of(new)
    return [new if keyword_of(raw) == keyword else raw for raw in cards]


def without_times(content: bytes) -> bytes:
    """Return a tile-compressed HDU whose gzip streams tell no time; others come back as given.

    astropy leaves Python's clock in each tile, so that no two runs would write the same bytes.
    """
    cards, data = split_hdu(content)
    header = fits.Header.fromstring(b"".join(cards))
    if not str(header.get("ZCMPTYPE", "")).startswith("GZIP"):
        return content
    # "1PB(24)": pairs of length and offset, of 32 or (Q) 64 bits; the only column there is.
    wide = re.match(r"\d*Q", header["TFORM1"]) is not None
    rows = header["NAXIS2"]
    table = np.frombuffer(data, ">i8" if wide else ">i4", count=2 * rows)
    heap = header.get("THEAP", header["NAXIS1"] * rows)
    tiles = heap + table.reshape(rows, 2)[:, 1].astype(np.int64)
    timeless = np.frombuffer(data, dtype=np.uint8).copy()
    for offset in _GZIP_TIME:
        timeless[tiles + offset] = 0
    return joined_cards(cards) + timeless.tobytes()


def summed_cards(cards: Iterable[bytes], data: Iterable[bytes]) -> list[bytes]:
    """Return cards with DATASUM and CHECKSUM (FITS standard 4.0, appendix J), without a date.

    Parameters
    ----------
    cards : iterable of bytes
        The header.
    data : iterable of bytes
        The data in pieces of whole 32-bit words, padded to whole blocks.
    """
    kept = [raw for raw in cards if keyword_of(raw) not in SUMS]
    data_sum = 0
    for piece in data:
        data_sum = _sum(piece, data_sum)
    kept.append(card("DATASUM", str(data_sum), "data unit checksum"))
    zero = joined_cards([*kept, card("CHECKSUM", "0" * 16, "HDU checksum")])
    told = _encoded(~_sum(zero, data_sum) & 0xFFFFFFFF)
    return [*kept, card("CHECKSUM", told, "HDU checksum")]


def _sum(content: bytes, carried: int = 0) -> int:
    """Return the ones'-complement sum of 32-bit words."""
    total = carried + int(np.frombuffer(content, dtype=">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _encoded(value: int) -> str:
    """Return 32 bits as the 16 letters and digits that make the sum of an HDU all ones."""
    letters = bytearray(16)
    for place, byte in enumerate(value.to_bytes(4, "big")):
        quotient, remainder = byte // 4 + ord("0"), byte % 4
        four = [quotient + remainder, quotient, quotient, quotient]
        while _EXCLUDED & set(four):
            for first in (0, 2):
                if _EXCLUDED & set(four[first : first + 2]):
                    four[first] += 1
                    four[first + 1] -= 1
        for column, letter in enumerate(four):
            letters[4 * column + place] = letter
    text = letters.decode("ascii")
    return text[-1] + text[:-1]
