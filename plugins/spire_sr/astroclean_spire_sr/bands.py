"""The bands of a field on one grid of 3 arcsec, in mJy a beam, their zero points taken off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.resampling import resampled
from astroclean.core.psf.beam import TARGET_PIXEL_ARCSEC

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.grid import Grid

__all__ = ["COARSE", "FINE", "PER_COARSE", "BandMap", "coarse_grid", "on_grid"]

FINE = TARGET_PIXEL_ARCSEC
"""Arcsec, pixels of the answer."""
PER_COARSE = 3
"""Pixels of the answer along one of the grid that the network sees."""
COARSE = FINE * PER_COARSE
_BOX = 576.0
"""Arcsec, sides of the boxes whose medians are the zero points: those of a training sample."""
_LEAST_KNOWN = 0.2
"""Share of a box that must be known for its median to count."""


@dataclass(frozen=True, eq=False)
class BandMap:
    """A band on the common grid."""

    data: NDArray[np.float32]
    """(ny, nx) mJy a beam, 0 where not known."""
    noise: NDArray[np.float32]
    """(ny, nx) standard deviation of a pixel of the band's own map, inf where not known."""
    pixel: float
    """Side of a pixel of the band's own map, arcsec."""
    beam: float = float("nan")
    """FWHM of the beam by which the map was read, arcsec, where that is known."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where the band was observed."""
        return np.isfinite(self.noise)

    @property
    def weights(self) -> NDArray[np.floating]:
        """(ny, nx) inverse variance, 0 where not known.

        Pixels of the grid share what one of the band's own tells.
        """
        return np.where(self.known, (COARSE / self.pixel / self.noise) ** 2, 0)

    @property
    def usual_noise(self) -> float:
        """Median of the noise, mJy a beam; where nothing is known, NaN."""
        return float(np.median(self.noise[self.known])) if self.known.any() else float("nan")


def coarse_grid(first: Grid) -> Grid:
    """Return the grid of 3 arcsec over a map, from its first corner on.

    Parameters
    ----------
    first : Grid
        Of the map at 250 um, with a WCS.
    """
    pixel = first.pixel_scale
    assert pixel is not None  # the stage asks for a WCS
    return first.with_step(COARSE / pixel)


def on_grid(
    data: NDArray[np.floating],
    noise: NDArray[np.floating],
    *,
    own: Grid,
    grid: Grid,
    pixel: float = COARSE,
) -> BandMap:
    """Return a band on the common grid.

    Beams are three pixels wide or more, so values between pixels follow from those around them
    (cubic splines).

    Parameters
    ----------
    data : (ny, nx) float
        mJy a beam; not finite where not known.
    noise : (ny, nx) float
        Standard deviation of each pixel.
    own, grid : Grid
        Pixels of the band, and those that are wanted, with WCS.
    pixel : float
        Side of the latter, arcsec.
    """
    known = np.isfinite(data) & np.isfinite(noise)
    image, inside = resampled(data, known, own=own, grid=grid)
    sigma, _ = resampled(noise, known, own=own, grid=grid, order=1)
    image = np.where(inside, image - zero_point(image, inside, pixel=pixel), 0)
    return BandMap(
        image.astype(np.float32),
        np.where(inside, sigma, np.inf).astype(np.float32),
        own.pixel_scale or COARSE,
    )


def zero_point(
    image: NDArray[np.floating], known: NDArray[np.bool_], *, pixel: float = COARSE
) -> NDArray[np.float32]:
    """Return what the median sky is at each pixel.

    Map makers leave any zero point, and cirrus lies beneath the galaxies. The median, in boxes of
    576 arcsec, is where the network's zero is.

    Parameters
    ----------
    image : (ny, nx) float
        On the common grid.
    known : (ny, nx) bool
        Where it counts.
    pixel : float
        Side of a pixel of the grid, arcsec.

    Returns
    -------
    (ny, nx) float32
        Medians, between the middles of boxes interpolated.
    """
    from scipy.ndimage import map_coordinates  # noqa: PLC0415 - heavy

    if not known.any():
        return np.zeros(image.shape, dtype=np.float32)
    counts = [max(round(side * pixel / _BOX), 1) for side in image.shape]
    rows, columns = (
        np.linspace(0, side, count + 1).astype(int)
        for side, count in zip(image.shape, counts, strict=True)
    )
    medians = np.full(counts, np.nan)
    for j in range(counts[0]):
        for i in range(counts[1]):
            box = slice(rows[j], rows[j + 1]), slice(columns[i], columns[i + 1])
            if known[box].mean() >= _LEAST_KNOWN:
                medians[j, i] = np.median(image[box][known[box]])
    medians[np.isnan(medians)] = np.median(image[known])
    places = np.meshgrid(
        *(
            (np.arange(side) + 0.5) * count / side - 0.5
            for side, count in zip(image.shape, counts, strict=True)
        ),
        indexing="ij",
    )
    level = map_coordinates(medians, places, order=1, mode="nearest")
    return np.asarray(level, dtype=np.float32)
