"""A part of a frame in units of its noise."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.psf.stamp import FINER, half_maximum_width
from astroclean_psf_cae.filters import make_bank

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.psf.psf import Psf
    from astroclean_psf_cae.filters import FilterBank

    Image = NDArray[np.float32]

__all__ = ["Region"]

_ROOM = 64
"""Pixels of nothing around an image before its Fourier transform."""


@dataclass(frozen=True, eq=False)
class Region:
    """Pixels of a frame in units of the noise of their sky."""

    data: Image
    """(ny, nx), sky subtracted; 0 where a pixel is not usable."""
    weights: Image
    """(ny, nx): one over the variance, 0 where a pixel is not usable."""
    origin: tuple[int, int]
    """(y, x) of the first pixel in the frame at hand."""
    psf: Psf
    """Of the frame at hand."""

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Usable pixels."""
        return np.asarray(self.weights > 0)

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.data.shape[0], self.data.shape[1]

    @cached_property
    def fine(self) -> NDArray[np.float64]:
        """The PSF in the middle, as of `Psf.fine_at`."""
        (y, x), (ny, nx) = self.origin, self.shape
        return self.psf.fine_at(x + nx / 2, y + ny / 2)

    @cached_property
    def fwhm(self) -> float:
        """FWHM of that PSF, pixels."""
        if self.psf.is_constant:
            return self.psf.fwhm_pixels
        return half_maximum_width(self.fine[::FINER, ::FINER])

    @cached_property
    def bank(self) -> FilterBank:
        """Filters of the PSF in the middle."""
        return _bank(self.fine.tobytes(), self.fine.shape, max(self.shape))

    def with_data(self, data: Image) -> Region:
        """Return the same pixels with other values, which keep the filters."""
        other = replace(self, data=np.where(self.valid, data, np.float32(0)))
        # Frozen, and the same PSF: what was worked out once holds.
        other.__dict__.update({"fine": self.fine, "fwhm": self.fwhm, "bank": self.bank})
        return other


@functools.lru_cache(maxsize=4)
def _bank(fine: bytes, shape: tuple[int, int], side: int) -> FilterBank:
    """Return filters; a frame has many regions of one PSF."""
    image = np.frombuffer(fine, dtype=np.float64).reshape(shape)
    return make_bank(image, side, room=(side + _ROOM) / side)
