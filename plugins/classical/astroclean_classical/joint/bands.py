"""Bands of a far-infrared field as images on one grid, in mJy/beam, with beams and weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.grid import Grid
from astroclean.core.image.resampling import resampled
from astroclean.core.psf.beam import flux_unit_per_beam
from astroclean.core.psf.joint_deconvolution import BandImage, scattered_weights
from astroclean.core.psf.sharpness import tell_of_sharpness
from astroclean.core.psf.spire import map_scale
from astroclean.core.psf.stamp import FINER
from astroclean.errors import StageError
from astroclean_classical.restore.restoration import unusable_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame

__all__ = ["Band", "Color", "prepared_band"]

_LEAST_NOISE = 0.1
"""Of the median: no pixel counts as much as a hundred others do."""
_LEAST_BOX = 8


@dataclass(frozen=True)
class Color:
    """What is known of a band's flux over that at the wavelength of the result."""

    mean: float
    scatter: float
    """Standard deviation from galaxy to galaxy, over the mean."""


@dataclass(frozen=True, eq=False)
class Band:
    """A band on the common grid."""

    image: BandImage
    """Its weights hold the scatter of colors."""
    noise_weights: NDArray[np.float32]
    """Of noise alone."""
    noise: float
    """Median standard deviation of a pixel of the band's own map, mJy/beam."""
    color: Color


def prepared_band(frame: Frame, grid: Grid, *, color: Color, background: float) -> Band:
    """Return a band on the common grid.

    Parameters
    ----------
    frame : Frame
        Flux density per beam, pixel or solid angle. Not modified.
    grid : Grid
        Common pixels, narrower than a third of any beam.
    color : Color
        Of the band.
    background : float
        Side in arcsec of the boxes in which what is broader than sources is measured; 0: none.

    Returns
    -------
    Band
        The beam is that of the center, as it lies on the pixels of its own band.

    Raises
    ------
    StageError
        No usable pixel.
    UnitError
        The unit is not understood.
    """
    assert frame.psf is not None  # needed, hence checked by the base class
    own, scale = Grid.from_frame(frame), map_scale(frame)
    bad = unusable_pixels(frame, "joint-richardson-lucy")
    tell_of_sharpness(frame, frame.psf, f"{frame.frame_id}, stage 'joint-richardson-lucy'")
    factor = flux_unit_per_beam(frame.unit, frame.psf, scale)
    data = np.where(bad, 0, frame.data).astype(np.float64)
    if background > 0:
        data -= _background(data, bad, box=background / scale)
    step = float(grid.pixel_scale or scale) / scale
    values, known = resampled(factor * data, ~bad, own=own, grid=grid)
    noise, _ = resampled(factor * frame.noise(), ~bad, own=own, grid=grid, order=1)
    if not known.any():
        raise StageError("does not lie on the first band", where=frame.frame_id)
    usual = float(np.median(noise[known]))
    noise = np.where(known, np.maximum(noise, _LEAST_NOISE * usual), 1)
    weights = np.where(known & (noise > 0), (step / np.where(noise > 0, noise, 1)) ** 2, 0)
    scattered = scattered_weights(values, weights, scatter=color.scatter, shared=step**-2)
    image = BandImage(values, scattered, _beam(frame, step), color.mean)
    return Band(image, weights.astype(np.float32), usual, color)


def _background(
    data: NDArray[np.float64], bad: NDArray[np.bool_], *, box: float
) -> NDArray[np.float64]:
    """Return what lies beneath sources: the mode in boxes, splines between them."""
    import sep  # noqa: PLC0415 - heavy

    side = int(max(round(box), _LEAST_BOX))
    return np.asarray(sep.Background(data, mask=bad, bw=side, bh=side).back())


def _beam(frame: Frame, step: float) -> NDArray[np.float64]:
    """Return the beam of the center of a frame, on pixels of another side."""
    from scipy.ndimage import map_coordinates  # noqa: PLC0415 - heavy

    assert frame.psf is not None
    ny, nx = frame.shape
    fine = frame.psf.fine_at(nx / 2, ny / 2)
    middle = [side // 2 for side in fine.shape]
    half = int(min(middle) / (FINER * step))
    places = np.arange(-half, half + 1) * FINER * step
    grid = np.meshgrid(middle[0] + places, middle[1] + places, indexing="ij")
    stamp = map_coordinates(fine, grid, order=3, mode="constant")
    return np.asarray(stamp / stamp[half, half])
