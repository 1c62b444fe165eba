"""The PSF that deconvolution aims at: narrow, round, and still sampled well by pixels."""

from __future__ import annotations

import functools

from astroclean.core.psf.psf import Psf

__all__ = ["TARGET_FWHM", "target_psf"]

TARGET_FWHM = 2.0
"""Full width at half maximum in pixels, before the pixel's own width: the narrowest Gaussian that
pixels can hold (Magain, Courbin & Sohy 1998, ApJ 494, 472: a deconvolved image must not violate
sampling)."""


@functools.lru_cache(maxsize=1)
def target_psf() -> Psf:
    """Return the Gaussian of that width, integrated over the pixels."""
    return Psf.gaussian(fwhm_pixels=TARGET_FWHM)
