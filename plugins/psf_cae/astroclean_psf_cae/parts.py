"""One block of a frame: its sources fitted, its pixels at the target PSF, what supports them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.stage.scope import chunk_of
from astroclean.tiling.blocks import is_in_core, is_near, within
from astroclean_psf_cae.fits import fit_sources
from astroclean_psf_cae.moments import SourceMoments, measured_moments
from astroclean_psf_cae.pixels import targets_of
from astroclean_psf_cae.sharpen import reblurred

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.tiling.blocks import Block
    from astroclean_psf_cae.calibration import Calibration
    from astroclean_psf_cae.fits import Fits
    from astroclean_psf_cae.pixels import Pixels
    from astroclean_psf_cae.region import Region
    from astroclean_psf_cae.sharpen import Sharpener

    Box = tuple[slice, slice]

__all__ = ["Part", "made_part"]

_NEAR = 48
"""Pixels around a core whose sources are fitted with it."""
_EDGE = 40
"""Pixels around a core whose result is convolved with the PSF again."""


@dataclass(frozen=True, eq=False)
class Part:
    """What one block gives."""

    block: Block
    image: NDArray[np.float32]
    """At the target PSF, without sky, unit of the frame; of the core, as the others."""
    error: NDArray[np.float32]
    chi: NDArray[np.float32]
    support: NDArray[np.float32] | None
    moments: SourceMoments
    """Of the block's own sources."""


def made_part(
    pixels: Pixels, block: Block, sharpener: Sharpener, calibration: Calibration, options: Any
) -> Part:
    """Return what a block of a frame is at the target PSF.

    Parameters
    ----------
    pixels : Pixels
        The frame. Not modified.
    block : Block
        Part of it.
    sharpener : Sharpener
        The network.
    calibration : Calibration
        Of its numbers.
    options : PsfCaeOptions
        ``fit`` and ``draws`` count.
    """
    region, noise = pixels.region(block.read)
    core = within(block.core, block.read)
    fits = _fitted(pixels.frame, region, core, noise, calibration) if options.fit else None
    wide = (_wider(core[0], region.shape[0]), _wider(core[1], region.shape[1]))
    sharp = sharpener.region(region, fits, wide)
    inner = within(core, wide)
    whole = np.zeros_like(region.data)
    whole[wide] = sharp.image
    chi = (region.data - reblurred(region, fits, sharp, wide)) * np.sqrt(region.weights)
    error = calibration.pixel.of(sharp.error[inner], sharp.image[inner])
    support = None
    if options.draws:
        y, x = np.add(region.origin, chunk_of(pixels.frame).origin).tolist()
        seeds = [(draw, y, x) for draw in range(options.draws)]
        drawn = sharpener.drawn_anew(region, fits, core, seeds=seeds)
        support = _support(sharp.image[inner], error, drawn)
    moments = SourceMoments.none()
    if fits is not None:
        told = measured_moments(region, fits, whole, noise, calibration)
        ny, nx = pixels.frame.shape
        own = is_in_core(told.columns["y"], block.core[0], ny)
        own &= is_in_core(told.columns["x"], block.core[1], nx)
        moments = told.taken(np.flatnonzero(own))
    return Part(
        block,
        noise * sharp.image[inner],
        noise * error,
        np.where(region.valid, chi, np.nan)[core].astype(np.float32),
        support,
        moments,
    )


def _fitted(
    frame: Frame, region: Region, core: Box, noise: float, calibration: Calibration
) -> Fits | None:
    """Return the fits to the sources in and near a core."""
    targets = targets_of(frame, region, noise, snr=calibration.snr)
    if targets is None:
        return None
    y, x = targets.places.T
    near = np.flatnonzero(is_near(y, core[0], _NEAR) & is_near(x, core[1], _NEAR))
    return fit_sources(region, targets.taken(near)) if len(near) else None


def _wider(part: slice, length: int) -> slice:
    return slice(max(part.start - _EDGE, 0), min(part.stop + _EDGE, length))


def _support(
    image: NDArray[np.float32], error: NDArray[np.float32], drawn: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the part of the power of a result that comes again under other noise.

    What does not stand out from its error has no power of its own.
    """
    change = np.mean((drawn - image) ** 2, axis=0) + error**2
    power = image**2
    return np.asarray(power / np.maximum(power + change, np.finfo(np.float32).tiny), np.float32)
