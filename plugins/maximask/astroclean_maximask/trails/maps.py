"""The frame above its sky, binned: what lines are searched in, and what is looked up along them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.noise import SIGMA_PER_MAD
from astroclean_maximask.trails.compact import compact_sources

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.inference.tiles.normalize import Measurement

__all__ = ["BIN", "Sky", "binned_mean", "observed"]

BIN = 4
"""Pixels a side of a cell of the binned maps."""
_CLIP = 3.5
"""Standard deviations beyond which a cell is cut: what is left of a star makes no line."""
_LOCAL = 32
"""Cells a side over which the mean is taken off: the light of halos and nebulae is smooth."""
_LEAST = 0.25
"""Share of the pixels of a cell that must be known."""


@dataclass(frozen=True, eq=False)
class Sky:
    """A frame, and its cells of `BIN` x `BIN` pixels."""

    pixels: NDArray[np.float32]
    """(ny, nx) above the sky in units of its noise; NaN where nothing is to be believed."""
    noise: NDArray[np.float32]
    """(my, mx) standard deviation of a pixel, in the unit of the frame."""
    cells: NDArray[np.float32]
    """(my, mx) light in units of the noise of a cell, clipped; 0 where nothing is known."""
    compact: NDArray[np.bool_]
    """(my, mx) cells of stars and galaxies, and of what is not known."""
    with_small: Sky | None = None
    """The same with small sources left in it, for trails that consist of such."""

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of the frame."""
        return (self.pixels.shape[0], self.pixels.shape[1])

    def light(
        self, rows: NDArray[np.intp], columns: NDArray[np.intp], *, compact: bool = False
    ) -> NDArray[np.float32]:
        """Return pixels above the sky in units of its noise; NaN where nothing is known.

        Parameters
        ----------
        rows, columns : integer arrays of one shape
            Pixels; those outside the frame are NaN.
        compact : bool
            Whether compact sources are wanted, too.

        Returns
        -------
        float32 array of that shape
            New.
        """
        ny, nx = self.shape
        inside = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
        light = self.pixels[np.clip(rows, 0, ny - 1), np.clip(columns, 0, nx - 1)]
        light[~inside] = np.nan
        if not compact:
            my, mx = self.compact.shape
            # Rows and columns may be negative here; they are NaN already.
            light[
                self.compact[np.clip(rows // BIN, 0, my - 1), np.clip(columns // BIN, 0, mx - 1)]
            ] = np.nan
        return light


def observed(frame: Frame, measured: Measurement) -> Sky:
    """Return a frame with its binned maps.

    Parameters
    ----------
    frame : Frame
        Whole. Not modified.
    measured : Measurement
        Its sky and noise.

    Returns
    -------
    Sky
        What the flags of TRAIL alone reject is looked at: another stage may have found it.
    """
    rejecting = np.uint32(int(frame.reject_bits) & ~int(MaskPlane.TRAIL))
    valid = np.isfinite(frame.data) & (((frame.flags & rejecting) == 0) | frame.filled)
    total, count = _sums(frame.data, valid)
    level, noise = _sky_of_cells(measured, (total.shape[0], total.shape[1]))
    known = count >= _LEAST * BIN**2
    with np.errstate(invalid="ignore", over="ignore"):
        ratio = (total - count * level) / (noise * np.sqrt(np.maximum(count, 1)))
    told = np.where(known & np.isfinite(ratio), ratio, 0)
    cells: NDArray[np.float32] = np.asarray(told, dtype=np.float32)
    pixels = _in_noise(frame.data, valid, level, noise)
    plain = Sky(pixels, noise, cells, ~known)
    if not known.any():
        return plain
    compact, large = (mask | ~known for mask in compact_sources(cells, ~known))
    small = replace(plain, cells=_flattened(cells, ~large), compact=large)
    return replace(plain, cells=_flattened(cells, ~compact), compact=compact, with_small=small)


def _in_noise(
    data: NDArray[np.floating],
    valid: NDArray[np.bool_],
    level: NDArray[np.float32],
    noise: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return pixels above the level of their cell in units of its noise; NaN where not valid."""
    pixels = np.where(valid, data, np.float32(np.nan)).astype(np.float32, copy=False)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        for start in range(BIN):
            rows = pixels[start::BIN]
            count, width = rows.shape
            for part, work in ((level, np.subtract), (noise, np.divide)):
                work(rows, np.repeat(part[:count], BIN, axis=1)[:, :width], out=rows)
    return pixels


def binned_mean(image: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the mean of each cell; the last ones may have fewer pixels. A new array."""
    total, count = _sums(image, np.isfinite(image))
    return np.asarray(total / np.maximum(count, 1), dtype=np.float32)


def _sums(
    data: NDArray[np.floating], valid: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the sum of the valid pixels of each cell, and their number."""
    # Counts of a large bias lose nothing in float32 here: sixteen of them are added at most.
    used = np.where(valid, data, np.float32(0)).astype(np.float32, copy=False)
    return _blocks(used), _blocks(valid.astype(np.float32))


def _blocks(image: NDArray[np.float32]) -> NDArray[np.float32]:
    ny, nx = image.shape
    if ny % BIN or nx % BIN:
        image = np.pad(image, ((0, -ny % BIN), (0, -nx % BIN)))
    rows = image[::BIN].copy()
    for start in range(1, BIN):
        rows += image[start::BIN]
    total = rows[:, ::BIN].copy()
    for start in range(1, BIN):
        total += rows[:, start::BIN]
    return total


def _sky_of_cells(
    measured: Measurement, shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return level and noise in the middles of the cells."""
    mesh = measured.background
    if mesh is not None:
        # The same spline in coordinates of cells: it is not evaluated for each pixel.
        y, x = ((axis - (BIN - 1) / 2) / BIN for axis in mesh.centers)
        measured = replace(measured, background=replace(mesh, shape=shape, centers=(y, x)))
    state = measured.state_of((0, 0), shape)
    level, noise = (np.broadcast_to(part, shape) for part in (state.offset, state.width))
    return level.astype(np.float32), noise.astype(np.float32)


def _flattened(cells: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return cells less the mean around them, clipped, in units of their scatter."""
    from scipy.ndimage import uniform_filter  # noqa: PLC0415 - heavy

    clipped = np.where(known, np.clip(cells, -_CLIP, _CLIP), np.float32(0))
    share = uniform_filter(known.astype(np.float32), _LOCAL)
    mean = uniform_filter(clipped, _LOCAL) / np.maximum(share, np.float32(0.02))
    flat = np.where(known, np.clip(cells - mean, -_CLIP, _CLIP), np.float32(0))
    scatter = SIGMA_PER_MAD * float(np.median(np.abs(flat[known]))) if known.any() else 1.0
    # Pixels that were resampled scatter together: their cells scatter more than one.
    return np.asarray(flat / max(scatter, 1.0), dtype=np.float32)
