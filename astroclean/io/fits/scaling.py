"""Physical values of stored pixels: BSCALE, BZERO and BLANK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from astropy.io import fits
    from numpy.typing import NDArray

__all__ = ["physical_values"]

_EXACT_IN_FLOAT32 = 2  # bytes of an integer


def physical_values(stored: NDArray[Any], header: fits.Header, blank: int | None) -> NDArray[Any]:
    """Return the values of stored pixels, computed in float64 and rounded once, as CFITSIO does.

    Integers stay integers unless they are scaled or some may be BLANK, which becomes NaN.
    """
    scale, zero = header.get("BSCALE", 1), header.get("BZERO", 0)
    is_integer, size = stored.dtype.kind in "iu", stored.dtype.itemsize
    if is_integer and blank is None and scale == 1:
        if zero == 0:
            return stored
        if zero == (-128 if size == 1 else 1 << 8 * size - 1):  # the other signedness
            signedness = "i" if size == 1 else "u"
            flipped = stored.view(f"u{size}") ^ np.array(1 << 8 * size - 1, f"u{size}")
            other: NDArray[Any] = flipped.view(f"{signedness}{size}")
            return other
    if not is_integer and scale == 1 and zero == 0:
        return stored
    exact = stored.dtype if not is_integer else np.float32 if size <= _EXACT_IN_FLOAT32 else float
    values = np.asarray(stored * float(scale) + float(zero), dtype=exact)
    if is_integer and blank is not None:
        values[stored == blank] = np.nan
    return values
