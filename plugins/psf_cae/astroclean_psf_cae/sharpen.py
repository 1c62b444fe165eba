"""From a region and its fits to the image at the target PSF: filters and the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.tiling.blocks import within
from astroclean_psf_cae.channels import CHANNELS, Seen, composed, seen_of
from astroclean_psf_cae.filters import filtered, reblurring
from astroclean_psf_cae.fits import Fits, fit_again

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from astroclean.inference.engines.engine import Engine
    from astroclean_psf_cae.region import Region

    Image = NDArray[np.float32]

__all__ = ["ORIENTATIONS", "Sharp", "Sharpener", "reblurred", "turned"]

_MULTIPLE = 8
"""Sides of what the network sees are multiples of it."""
ORIENTATIONS = 8
_EDGE = 48
"""Pixels around the wanted ones that the network sees."""


@dataclass(frozen=True, eq=False)
class Sharp:
    """Part of a region at the target PSF, in units of the noise."""

    image: Image
    """(ny, nx)"""
    added: Image
    """(ny, nx): what the network adds to the fits."""
    error: Image
    """(ny, nx): standard deviation, as network and fits tell it."""


@dataclass(frozen=True)
class Sharpener:
    """The network, and how it is asked.

    Parameters
    ----------
    engine : Engine
        Runs it.
    turns : int
        1, or 8: the mean over all orientations of the image.
    """

    engine: Engine
    turns: int = 1

    def region(self, region: Region, fits: Fits | None, core: tuple[slice, slice]) -> Sharp:
        """Return the core of a region at the target PSF.

        Parameters
        ----------
        region : Region
            Not modified.
        fits : Fits or None
            To its sources; None: there are none.
        core : (slice, slice)
            Pixels of the region that are wanted.
        """
        if fits is None:
            blurred = fitted = np.zeros_like(region.data)
            variance = np.zeros_like(region.data[core])
        else:
            blurred, fitted = fits.blurred.total, fits.sharp.total
            variance = fits.variance.total[core]
        # Not the unit: a region is in that of its noise.
        whole = seen_of(
            region.data[np.newaxis],
            region.valid[np.newaxis],
            blurred[np.newaxis],
            fitted[np.newaxis],
            region.bank,
        )
        rows, columns = (slice(max(part.start - _EDGE, 0), part.stop + _EDGE) for part in core)
        seen = Seen(whole.planes[:, :, rows, columns], whole.scale[:, rows, columns])
        image, error = self.stamps(seen)
        inner = within(core, (rows, columns))
        added = image[0][inner] - fitted[core]
        return Sharp(image[0][inner], added, np.sqrt(error[0][inner] ** 2 + variance))

    def stamps(self, seen: Seen) -> tuple[Image, Image]:
        """Return images at the target PSF and their errors, (n, ny, nx) each."""
        turns = range(0, ORIENTATIONS, ORIENTATIONS // self.turns)
        images, errors = [], []
        for turn in turns:
            other = Seen(turned(seen.planes, turn), turned(seen.scale, turn))
            parts = composed(self._answer(other.planes), other)
            image, error = (_turned_back(part, turn) for part in parts)
            images.append(image)
            errors.append(error)
        if len(images) == 1:
            return images[0], errors[0]
        return np.mean(images, axis=0, dtype=np.float32), np.mean(errors, axis=0, dtype=np.float32)

    def _answer(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        ny, nx = planes.shape[-2:]
        edges = ((0, 0), (0, 0), (0, -ny % _MULTIPLE), (0, -nx % _MULTIPLE))
        padded = np.pad(planes, edges)
        # What is beyond the image has the width of its PSF, too.
        width = CHANNELS.index("width")
        padded[:, width] = planes[:, width, :1, :1]
        return self.engine.infer({"planes": np.ascontiguousarray(padded)})["answer"][..., :ny, :nx]

    def drawn_anew(
        self,
        region: Region,
        fits: Fits | None,
        core: tuple[slice, slice],
        *,
        seeds: Sequence[Sequence[int]],
    ) -> Image:
        """Return what becomes of a result under other noise, (draws, ny, nx).

        Parameters
        ----------
        region, fits, core
            As for :meth:`region`; the result is taken for the truth, with noise as it is told.
        seeds : sequence of sequence of int
            One for each draw.
        """
        everything = (slice(0, region.shape[0]), slice(0, region.shape[1]))
        truth = reblurred(region, fits, self.region(region, fits, everything), everything)
        deviation = np.sqrt(1 / np.where(region.valid, region.weights, np.inf))
        results = []
        for seed in seeds:
            noise = np.random.default_rng(seed).standard_normal(region.shape, dtype=np.float32)
            other = region.with_data((truth + deviation * noise).astype(np.float32))
            again = None if fits is None else fit_again(other, fits)
            results.append(self.region(other, again, core).image)
        return np.stack(results)


def reblurred(region: Region, fits: Fits | None, sharp: Sharp, part: tuple[slice, slice]) -> Image:
    """Return a result as the frame would show it, (ny, nx) of the region.

    Parameters
    ----------
    region, fits
        Of the result. The fits are as the region shows them, sources across its border, too.
    sharp : Sharp
        The result.
    part : (slice, slice)
        Pixels of the region that it has; around it nothing is added to the fits.
    """
    added = np.zeros_like(region.data)
    added[part] = sharp.added
    (seen,) = filtered(added, reblurring(region.bank))
    return np.asarray(seen if fits is None else seen + fits.blurred.total, np.float32)


def turned(images: NDArray[Any], turn: int) -> NDArray[Any]:
    """Return images (..., ny, nx) in one of eight orientations, from 4 on mirrored."""
    mirrored = images[..., ::-1] if turn >= ORIENTATIONS // 2 else images
    return np.rot90(mirrored, turn % 4, axes=(-2, -1))


def _turned_back(images: NDArray[np.float32], turn: int) -> NDArray[np.float32]:
    back = np.rot90(images, -(turn % 4), axes=(-2, -1))
    return back[..., ::-1] if turn >= ORIENTATIONS // 2 else back
