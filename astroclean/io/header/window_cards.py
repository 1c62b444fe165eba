"""Cards of an image of which rows and columns were cut off."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = ["in_window"]

# Pixel coordinates of a point on the sky, of all alternates; pixels of IRAF's physical coordinates;
# the corner of an image on its plate (DSS).
_REFERENCE = re.compile(r"CRPIX([12])[A-Z]?")
_LOGICAL = re.compile(r"LTV([12])")
_CORNER = re.compile(r"CNPIX([12])")


def in_window(header: Header, origin: tuple[int, int]) -> Header:
    """Return a header of which the pixels are counted from another one.

    Parameters
    ----------
    header : Header
        Not modified.
    origin : (int, int)
        (y, x) of the pixel that is the first now.

    Returns
    -------
    Header
        A copy, with WCS and IRAF's physical coordinates of the new pixels.
    """
    moved = header.copy()
    cut = {"1": origin[1], "2": origin[0]}
    for keyword in set(moved):
        for pattern, sign in ((_REFERENCE, -1), (_LOGICAL, -1), (_CORNER, 1)):
            match = pattern.fullmatch(keyword)
            if match and cut[match[1]]:
                moved[keyword] = moved[keyword] + sign * cut[match[1]]
    return moved
