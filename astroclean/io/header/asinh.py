"""Pixels that are stored on an asinh scale, as Pan-STARRS does: BSOFTEN and BOFFSET.

Stored v means BOFFSET + 2 BSOFTEN sinh(v ln 10 / 2.5): Waters et al. 2020, ApJS 251, 4, section 3.4
(after Lupton, Gunn and Szalay 1999).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.errors import FitsReadError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.io.fits.source import FitsSource

__all__ = ["ASINH_KEYWORDS", "Softening", "linear_values", "sampled_rows", "softening_of"]

ASINH_KEYWORDS = ("BSOFTEN", "BOFFSET")
_MAGNITUDES = 2.5 / math.log(10)
_LARGEST = 45.0
"""Of stored values, in either sign: 1e18 times the softening; more is linear already."""
_ROWS = 16


@dataclass(frozen=True)
class Softening:
    """The scale of one HDU."""

    softening: float
    offset: float
    is_left_over: bool = False
    """Whether the values cannot be on this scale, so that the cards are left from before."""

    def linear(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Return what stored values mean, in the unit of the HDU; NaN stays."""
        if self.is_left_over:
            return np.asarray(stored, dtype=np.float32)
        wide = np.asarray(stored, dtype=np.float64) / _MAGNITUDES
        return (self.offset + 2 * self.softening * np.sinh(wide)).astype(np.float32)

    def stored(self, linear: NDArray[Any]) -> NDArray[np.float64]:
        """Return how values are stored: the inverse of :meth:`linear`."""
        wide = np.asarray(linear, dtype=np.float64)
        if self.is_left_over:
            return wide
        stored: NDArray[np.float64] = np.arcsinh((wide - self.offset) / (2 * self.softening))
        return stored * _MAGNITUDES


def softening_of(source: FitsSource, index: int) -> Softening | None:
    """Return the asinh scale of an HDU, or None where its values are linear.

    Parameters
    ----------
    source : FitsSource
        Open file.
    index : int
        HDU. A few of its rows are read where it has the cards.

    Returns
    -------
    Softening or None
        The same whichever part of the HDU is wanted.

    Raises
    ------
    FitsReadError
        The cards are there and tell no scale.
    """
    header = source.merged_header(index)
    if "BSOFTEN" not in header:
        return None
    try:
        softening, offset = float(header["BSOFTEN"]), float(header.get("BOFFSET", 0.0))
    except (TypeError, ValueError):
        softening = offset = math.nan
    if not (math.isfinite(softening) and softening > 0 and math.isfinite(offset)):
        raise FitsReadError(
            "the pixels are on an asinh scale, which its cards do not tell",
            where=f"{source.path}[{source.hdus[index].label}]",
            received=f"BSOFTEN = {header['BSOFTEN']!r}, BOFFSET = {header.get('BOFFSET')!r}",
            remedy="Put the cards right, or convert the file to linear values and remove them.",
        )
    rows = sampled_rows(source, index)
    is_left_over = bool(rows.size) and float(np.max(np.abs(rows))) > _LARGEST
    return Softening(softening, offset, is_left_over)


def linear_values(
    source: FitsSource, index: int, plane: int | None, window: tuple[slice, slice] | None
) -> NDArray[Any]:
    """Return pixels as :meth:`FitsSource.read` does, linear where they are on an asinh scale."""
    values = source.read(index, plane=plane, window=window)
    scale = softening_of(source, index)
    return values if scale is None else scale.linear(values)


def sampled_rows(source: FitsSource, index: int, plane: int | None = None) -> NDArray[np.float64]:
    """Return the finite values of a few rows, spread evenly over an image."""
    height = source.hdus[index].shape[-2]
    numbers = np.unique(np.linspace(0, height - 1, min(height, _ROWS)).astype(int))
    rows = [
        source.read(index, plane=plane, window=(slice(int(n), int(n) + 1), slice(None)))
        for n in numbers
    ]
    values = np.concatenate([np.ravel(row).astype(np.float64) for row in rows])
    finite: NDArray[np.float64] = values[np.isfinite(values)]
    return finite
