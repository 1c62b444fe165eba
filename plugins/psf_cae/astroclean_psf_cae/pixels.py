"""A frame without its sky, in parts; and which of its sources are fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.uncertainty import deviation_of
from astroclean.core.stage.scope import chunk_of
from astroclean_psf_cae.filters import filtered
from astroclean_psf_cae.fits import Light, Targets
from astroclean_psf_cae.region import Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.tiling.sky import Sky

__all__ = ["Pixels", "sky_of_stamp", "targets_of"]

_STAMP = 128
"""Longest side of a frame that is taken for the stamp of one source."""
_RING = 0.12
"""Width of the border of a stamp that is taken for sky, of its side."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """A frame, its sky and its noise."""

    frame: Frame
    level: NDArray[np.float32]
    """(ny, nx): sky."""
    noise: NDArray[np.float32]
    """(ny, nx): of the sky, unit of the frame."""
    variance: NDArray[np.float64]
    """(ny, nx): of each pixel."""
    ratio: float = 1.0
    """Measured noise over the stated one."""

    @classmethod
    def of_frame(cls, frame: Frame, sky: Sky) -> Pixels:
        """Return a frame with what was measured of the whole."""
        origin = chunk_of(frame).origin
        return cls(
            frame,
            sky.background.level(origin, frame.shape),
            sky.noise(origin, frame.shape),
            sky.variance(frame),
            sky.ratio,
        )

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Pixels that count."""
        return np.asarray(self.frame.usable & np.isfinite(self.variance) & (self.variance > 0))

    def region(self, read: tuple[slice, slice]) -> tuple[Region, float]:
        """Return a part of the frame in units of its noise, and that noise."""
        assert self.frame.psf is not None  # needed, hence checked by the base class
        noise = float(np.median(self.noise[read]))
        usable = self.usable[read]
        light = (self.frame.data[read] - self.level[read]) / noise
        with np.errstate(divide="ignore"):
            weights = noise**2 / self.variance[read]
        region = Region(
            np.where(usable, light, 0).astype(np.float32),
            np.where(usable, weights, 0).astype(np.float32),
            (read[0].start, read[1].start),
            self.frame.psf,
        )
        return region, noise


def sky_of_stamp(frame: Frame) -> Pixels | None:
    """Return the pixels of a frame that is the stamp of one source; None where it is none.

    Its sky is the median of its border: a mesh would take the source for sky.
    """
    if frame.sources is not None or frame.chunk is not None or max(frame.shape) > _STAMP:
        return None
    width = max(int(_RING * min(frame.shape)), 2)
    ring = np.ones(frame.shape, dtype=bool)
    ring[width:-width, width:-width] = False
    usable = frame.usable
    values = frame.data[ring & usable]
    if not values.size:
        values = frame.data[usable] if usable.any() else np.zeros(1, np.float32)
    level = float(np.median(values))
    scatter = float(1.4826 * np.median(np.abs(values - level))) or 1.0
    stated = deviation_of(frame.uncertainty)
    noise = np.full(frame.shape, np.float32(scatter))
    variance = np.full(frame.shape, scatter**2)
    if stated is not None:
        known = np.isfinite(stated) & (stated > 0)
        variance = np.where(known, stated.astype(np.float64) ** 2, scatter**2)
        variance = np.where(np.isposinf(stated), np.inf, variance)
        border = stated[ring & known]
        if border.size:
            noise[:] = np.median(border)
    return Pixels(frame, np.full(frame.shape, np.float32(level)), noise, variance)


def targets_of(frame: Frame, region: Region, noise: float, *, snr: float) -> Targets | None:
    """Return the sources of a region that are fitted; None where nobody tells of any.

    Parameters
    ----------
    frame : Frame
        With sources, or the stamp of one.
    region : Region
        Part of it.
    noise : float
        Unit of the region, in that of the frame.
    snr : float
        S/N from which there is a source in a stamp without a catalogue.
    """
    sources = frame.sources
    if sources is None:
        return _brightest(region, snr) if max(frame.shape) <= _STAMP else None
    table = sources.table
    places = np.stack([np.asarray(table["y"], float), np.asarray(table["x"], float)], axis=1)
    places = places - region.origin
    images = sources.images() if len(sources.bands) == 1 else {}
    ids = [int(one) for one in table["id"]]
    models = None
    if images and all(one in images for one in ids):
        stamps = [images[one] for one in ids]
        top, left = region.origin
        models = Light(
            tuple(np.asarray(stamp.data / noise, np.float32) for stamp in stamps),
            tuple((stamp.origin[0] - top, stamp.origin[1] - left) for stamp in stamps),
            region.shape,
        )
    finite = np.flatnonzero(np.isfinite(places).all(axis=1))
    return Targets(np.arange(len(ids)), places, models).taken(finite)


def _brightest(region: Region, snr: float) -> Targets | None:
    """Return the brightest place of the matched filter, if it stands out."""
    (matched,) = filtered(region.data, region.bank.matched)
    level = matched / region.bank.noise[1]
    level[~region.valid] = 0
    y, x = np.unravel_index(int(np.argmax(level)), level.shape)
    if level[y, x] < snr:
        return None
    return Targets(np.zeros(1, np.intp), np.array([[float(y), float(x)]]))
