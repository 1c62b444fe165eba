"""Which pixels an index takes of a frame, and what world coordinates and scale these have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.errors import FrameError

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from astroclean.core.psf.psf import Psf

__all__ = ["Cut", "meta_at_scale", "stepped_wcs"]


@dataclass(frozen=True)
class Cut:
    """Rows and columns of an image, all or every so many of them, in order."""

    first: tuple[int, int]
    """(y, x) of the first pixel."""
    step: tuple[int, int]
    """From one row to the next, and one column to the next, in pixels of the image."""

    @classmethod
    def parsed(cls, item: Any, shape: tuple[int, int], *, where: str) -> Self:
        """Return what an index takes.

        Parameters
        ----------
        item : slice, Ellipsis or tuple of these
            Of rows and columns.
        shape : (int, int)
            (ny, nx) of the image.
        where : str
            The frame, for messages.

        Raises
        ------
        FrameError
            It is no such index, or turns rows or columns round.
        """
        items = item if isinstance(item, tuple) else (item,)
        slices = [slice(None) if one is Ellipsis else one for one in items]
        if len(slices) > len(shape) or not all(isinstance(one, slice) for one in slices):
            raise FrameError(
                "a part of a frame is rows and columns, each as a slice",
                where=where,
                received=f"[{', '.join(map(_told, items))}]",
                remedy="As in frame[10:20, 30:40]; frame[5:6] is one row. Values alone: "
                "frame.data[...]; some pixels of a frame: frame.where(...).",
            )
        slices += [slice(None)] * (len(shape) - len(slices))
        y, x = (one.indices(side) for one, side in zip(slices, shape, strict=True))
        if y[2] < 0 or x[2] < 0:
            raise FrameError(
                "rows and columns of a frame are in order: its PSF and WCS are not turned round",
                where=where,
                received=f"a step of {min(y[2], x[2])}",
                remedy="Values alone: frame.data[::-1].",
            )
        return cls((y[0], x[0]), (y[2], x[2]))

    @property
    def leaves_out(self) -> bool:
        """Whether there are pixels between those that are taken."""
        return self.step != (1, 1)

    def psf_of(self, psf: Psf | None, *, where: str) -> Psf | None:
        """Return the PSF of the pixels that are taken.

        Raises
        ------
        FrameError
            Some are left out: it is that of all pixels.
        """
        if psf is not None and self.leaves_out:
            raise FrameError(
                "the PSF of a frame is not that of every so many of its pixels",
                where=where,
                received=self._steps,
                remedy="Without it: frame.replace(psf=None)[...].",
            )
        return None if psf is None else psf.seen_from(self.first[1], self.first[0])

    @property
    def _steps(self) -> str:
        return f"steps of {self.step[0]} rows and {self.step[1]} columns"

    def wcs_of(self, wcs: Any, where: str) -> WCS | None:
        """Return the world coordinates of the pixels that are taken, where some are left out.

        Raises
        ------
        FrameError
            It has distortions or is none of FITS: it cannot be derived for other pixels.
        """
        if wcs is None:
            return None
        if getattr(wcs, "has_distortion", True):
            raise FrameError(
                "a WCS with distortions, or none of FITS, cannot be that of every so many pixels",
                where=where,
                received=self._steps,
                remedy="Without it: frame.replace(wcs=None)[...].",
            )
        return stepped_wcs(wcs, self.first, self.step)

    def meta_of(self, meta: Any) -> Any:
        """Return the header of the pixels that are taken: their scale is another."""
        return meta_at_scale(meta, math.sqrt(self.step[0] * self.step[1]))


def stepped_wcs(wcs: WCS, first: tuple[int, int], step: tuple[int, int]) -> WCS:
    """Return the world coordinates of every so many pixels.

    astropy slices a WCS with steps by its CDELT, which counts for nothing beside a CD matrix, and
    as if the pixels left out were joined with those that stay.

    Parameters
    ----------
    wcs : WCS
        Of two axes, without distortions. Not modified.
    first, step : (int, int)
        (y, x) of the first pixel, and of the way from one to the next.
    """
    coarser, steps = wcs.deepcopy(), np.array(step[::-1])
    coarser.wcs.crpix = (wcs.wcs.crpix - 1 - np.array(first[::-1])) / steps + 1
    if wcs.wcs.has_cd():
        coarser.wcs.cd = wcs.wcs.cd * steps
    elif step[0] == step[1]:
        coarser.wcs.cdelt = wcs.wcs.cdelt * step[0]
    else:  # columns of the matrix are of pixels, CDELT is of the axes of the sky
        coarser.wcs.pc = wcs.wcs.get_pc() * steps
    coarser.wcs.set()
    if wcs.array_shape is not None:
        coarser.array_shape = tuple(
            len(range(start, side, by))
            for start, side, by in zip(first, wcs.array_shape, step, strict=True)
        )
    return coarser


def meta_at_scale(meta: Any, factor: float) -> Any:
    """Return a header whose pixels are larger by a factor; the same one where it tells no scale."""
    keyword = DETECTOR_KEYWORDS["pixel_scale"]
    if meta.get(keyword) is None:
        return meta
    changed = meta.copy()
    changed[keyword] = factor * float(meta[keyword])
    return changed


def _told(item: Any) -> str:
    if isinstance(item, slice):
        ends = ["" if end is None else str(end) for end in (item.start, item.stop)]
        return ":".join([*ends, *([] if item.step is None else [str(item.step)])])
    plain = isinstance(item, (int, np.integer))
    return str(item) if plain else "..." if item is Ellipsis else type(item).__name__
