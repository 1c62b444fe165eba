"""HDUs as bytes, after astropy wrote them: checksums that hold, compressed data without a clock."""

from __future__ import annotations

import numpy as np
from astropy.io import fits

__all__ = ["parsed_header", "with_sums", "without_times"]

_BLOCK = 2880
_END = b"END" + b" " * 77
_CARD = 80
_GZIP_TIME = range(4, 8)  # bytes of a gzip stream that hold its time
_EXCLUDED = {*range(0x3A, 0x41), *range(0x5B, 0x61)}  # ASCII that is neither digit nor letter


def parsed_header(content: bytes) -> tuple[fits.Header, int]:
    """Return the header at the beginning of an HDU, and where its data begin."""
    end = 0
    while content[end : end + _CARD] != _END:
        end += _CARD
    start = end // _BLOCK * _BLOCK + _BLOCK
    return fits.Header.fromstring(content[: end + _CARD]), start


def without_times(content: bytes) -> bytes:
    """Return a tile-compressed HDU whose gzip streams tell no time; others come back as given.

    astropy leaves Python's clock in each tile, so that no two runs would write the same bytes.
    """
    header, start = parsed_header(content)
    if not str(header.get("ZCMPTYPE", "")).startswith("GZIP"):
        return content
    wide = "Q" in header["TFORM1"]
    rows = header["NAXIS2"]
    table = np.frombuffer(content, ">i8" if wide else ">i4", count=2 * rows, offset=start)
    heap = start + header.get("THEAP", header["NAXIS1"] * rows)
    tiles = heap + table.reshape(rows, 2)[:, 1].astype(np.int64)
    timeless = np.frombuffer(content, dtype=np.uint8).copy()
    for offset in _GZIP_TIME:
        timeless[tiles + offset] = 0
    return timeless.tobytes()


def with_sums(content: bytes) -> bytes:
    """Return an HDU with DATASUM and CHECKSUM (FITS standard 4.0, appendix J), without a date."""
    header, start = parsed_header(content)
    data = content[start:]
    data_sum = _sum(data)
    header["DATASUM"] = (str(data_sum), "data unit checksum")
    header["CHECKSUM"] = ("0" * 16, "HDU checksum")
    text = header.tostring(sep="", endcard=True, padding=True).encode("ascii", "replace")
    header["CHECKSUM"] = _encoded(~_sum(text, data_sum) & 0xFFFFFFFF)
    text = header.tostring(sep="", endcard=True, padding=True).encode("ascii", "replace")
    return text + data


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
