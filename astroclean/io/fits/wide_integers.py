"""Images of integers beyond 2**53, which no float holds: they stay integers when pixels change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.errors import FitsWriteError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from astroclean.io.fits.hdu_info import HduInfo
    from astroclean.io.fits.source import FitsSource

__all__ = ["STORED", "needs_integers", "patched_integers"]

STORED = np.dtype(">i8")
"""Type of the pixels."""
_BITS = 64
_EXACT_IN_FLOAT64 = 1 << 53
_UNSIGNED = 1 << 63  # BZERO of unsigned integers
_ROWS = 512


def needs_integers(source: FitsSource, info: HduInfo) -> bool:
    """Return whether an image holds integers that float64 does not.

    Parameters
    ----------
    source : FitsSource
        The input, open.
    info : HduInfo
        An image.

    Raises
    ------
    FitsWriteError
        It does, and is compressed.
    """
    header = source.header(info.index)
    if header["BITPIX"] != _BITS or header.get("BSCALE", 1) != 1 or "BSOFTEN" in header:
        return False
    zero = header.get("BZERO", 0)
    if zero not in (0, _UNSIGNED):
        return False
    for plane, rows in _blocks(info):
        if info.is_compressed:
            block = source.read(info.index, plane=plane, window=(rows, slice(None)))
            is_wide = bool((np.abs(block.astype(np.float64)) >= _EXACT_IN_FLOAT64).any())
        else:
            signed = source.raw_rows(info, plane, rows, STORED).astype(np.int64)
            block = signed.view(np.uint64) ^ np.uint64(zero)
            whole = block.view(np.int64) if zero == 0 else block
            above = whole > _EXACT_IN_FLOAT64
            is_wide = bool(above.any() or (zero == 0 and (whole < -_EXACT_IN_FLOAT64).any()))
        if is_wide and info.is_compressed:
            raise FitsWriteError(
                "has integers beyond 2**53 in compressed tiles; its other pixels would change",
                where=f"{source.path}[{info.label}]",
                remedy="Unpack it first, as with funpack.",
            )
        if is_wide:
            return True
    return False


def _blocks(info: HduInfo) -> Iterator[tuple[int, slice]]:
    ny = info.shape[-2]
    for plane in range(int(np.prod(info.shape[:-2], dtype=int))):
        for start in range(0, ny, _ROWS):
            yield plane, slice(start, min(start + _ROWS, ny))


def patched_integers(
    source: FitsSource,
    info: HduInfo,
    values: Sequence[NDArray[Any]],
    changed: Sequence[NDArray[Any]],
) -> Iterator[NDArray[Any]]:
    """Yield the rows of an image as stored, with new values rounded to integers.

    Parameters
    ----------
    source : FitsSource
        The input, open.
    info : HduInfo
        The HDU, for which :func:`needs_integers` is true.
    values : sequence of (ny, nx) float
        New values, one image a plane.
    changed : sequence of (ny, nx) bool
        Where they hold.

    Raises
    ------
    FitsWriteError
        A new value is NaN where the image has no BLANK, or beyond the type.
    """
    header = source.header(info.index)
    zero = int(header.get("BZERO", 0))
    blank = header.get("BLANK")
    where = f"{source.path}[{info.label}]"
    for plane, rows in _blocks(info):
        block = source.raw_rows(info, plane, rows, STORED)
        mine = changed[plane][rows]
        fresh = values[plane][rows][mine]
        block[mine] = [_stored(float(value), zero, blank, where) for value in fresh]
        yield block


def _stored(value: float, zero: int, blank: int | None, where: str) -> int:
    if not np.isfinite(value):
        if blank is None:
            raise FitsWriteError(
                "integers beyond 2**53 have no room for a pixel without a value",
                where=where,
                remedy="Give the image a BLANK, or fill the pixel.",
            )
        return int(blank)
    stored = round(value) - zero
    if not -_UNSIGNED <= stored < _UNSIGNED:
        raise FitsWriteError("a new value is beyond the integers of the image", where=where)
    return stored
