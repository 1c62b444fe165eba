"""The finer map of an estimate on common pixels, and how far the input supports it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.psf.psf import Psf
from astroclean.core.psf.stamp import FWHM_PER_SIGMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean.core.psf.joint_deconvolution import BandImage

__all__ = ["beam_of", "drawn", "support_of"]

_REACH = 2.0
"""Of a beam, in FWHM: a Gaussian is 1e-5 of its peak there."""


def beam_of(fwhm: float) -> Psf:
    """Return the Gaussian beam that `drawn` draws with, by values at the middles of pixels."""
    places = np.arange(-int(np.ceil(_REACH * fwhm)), int(np.ceil(_REACH * fwhm)) + 1)
    line = np.exp(-0.5 * (places * FWHM_PER_SIGMA / fwhm) ** 2)
    return Psf(np.outer(line, line), computed=True)


def drawn(
    flux: NDArray[np.floating], fwhm: float, *, shape: tuple[int, int], spacing: int
) -> NDArray[np.float32]:
    """Return flux in pixels as a map of finer ones through a Gaussian beam.

    Parameters
    ----------
    flux : (ny, nx)
        mJy per pixel. Not modified.
    fwhm : float
        Of the beam, in pixels of the map; at least as wide as one of ``flux``, or these show.
    shape : (int, int)
        Of the map, whose first corner is that of ``flux``.
    spacing : int
        Pixels of the map along one of ``flux``; odd, so that one has its middle.

    Returns
    -------
    (my, mx) float32
        mJy/beam. Nothing is below zero that was not, and the sum of pixels over the area of the
        beam is that of the fluxes, but for what a beam loses at the borders.
    """
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - heavy

    image = np.zeros([spacing * side for side in flux.shape], dtype=np.float32)
    image[spacing // 2 :: spacing, spacing // 2 :: spacing] = flux
    sigma = fwhm / FWHM_PER_SIGMA
    gaussian_filter(image, sigma, output=image, mode="constant")
    image *= np.float32(2 * np.pi * sigma**2)
    return np.ascontiguousarray(image[: shape[0], : shape[1]])


def support_of(
    images: Sequence[BandImage], *, shape: tuple[int, int], spacing: int
) -> NDArray[np.float32]:
    """Return the share of the weight of all beams that fell on pixels that are known.

    Parameters
    ----------
    images : sequence of BandImage
        On common pixels; each counts as its median weight and its gain tell.
    shape, spacing
        Of the result, as for :func:`drawn`.

    Returns
    -------
    (my, mx) float32
        0 to 1.
    """
    from scipy.signal import oaconvolve  # noqa: PLC0415 - heavy

    seen, whole = np.zeros(images[0].data.shape), 0.0
    for image in images:
        known = image.weights > 0
        beam = np.maximum(np.asarray(image.beam), 0)
        weight = image.gain**2 * float(np.median(image.weights[known]))
        seen += weight * oaconvolve(known.astype(np.float32), beam[::-1, ::-1], mode="same")
        whole += weight * float(beam.sum())
    share = np.clip(seen / whole, 0, 1).astype(np.float32)
    fine = np.repeat(np.repeat(share, spacing, axis=0), spacing, axis=1)
    return np.ascontiguousarray(fine[: shape[0], : shape[1]])
