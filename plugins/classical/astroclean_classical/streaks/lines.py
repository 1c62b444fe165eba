"""For `streaks`: the lines along which a binned image is significantly bright."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.image.noise import SIGMA_PER_MAD
from astroclean_classical.streaks.sky import CLIP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["Line", "Search", "candidates"]

# The peak of a trail in angle is as wide as its width over its length.
_ANGLES = 360
# How near another candidate may lie, in angles and offsets of the transform.
_ANGLE_REACH, _OFFSET_REACH = 5, 8
_FEWEST_OFFSETS = 8


@dataclass(frozen=True)
class Line:
    """A straight line through the pixel (x, y)."""

    x: float
    y: float
    angle: float
    """Degrees from +x towards +y, from -90 to 90."""

    @property
    def direction(self) -> tuple[float, float]:
        """(dx, dy), of length 1."""
        radians = math.radians(self.angle)
        return math.cos(radians), math.sin(radians)

    @property
    def from_axes(self) -> float:
        """Angle to the nearer of rows and columns, in degrees."""
        return min(abs(self.angle), 90 - abs(self.angle))


@dataclass(frozen=True)
class Search:
    """What to look for."""

    nsigma: float
    size: int
    """Most pixels a side of the binned image."""
    width: float
    axis_margin: float
    count: int = 12
    """Most candidates."""


def candidates(
    image: NDArray[np.float32], known: NDArray[np.bool_], search: Search
) -> Iterator[Line]:
    """Yield lines, the most significant first.

    Parameters
    ----------
    image : (ny, nx) float32
        In units of the noise.
    known : (ny, nx) bool
        Pixels to look at.
    search : Search
        Limits.

    Yields
    ------
    Line
        In pixels of ``image``, to about one binned pixel.
    """
    factor = max(math.ceil(max(image.shape) / search.size), 1)
    sinogram = _significance(*_binned(image, known, factor), factor, search)
    for _ in range(search.count):
        offset, angle = np.unravel_index(int(np.argmax(sinogram)), sinogram.shape)
        if not sinogram[offset, angle] >= search.nsigma:
            return
        yield _line(int(offset), int(angle), sinogram.shape[0], image.shape, factor)
        rows = slice(max(int(offset) - _OFFSET_REACH, 0), int(offset) + _OFFSET_REACH + 1)
        columns = np.arange(int(angle) - _ANGLE_REACH, int(angle) + _ANGLE_REACH + 1) % _ANGLES
        sinogram[rows, columns] = 0


def _binned(
    image: NDArray[np.float32], known: NDArray[np.bool_], factor: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return sums over blocks of the clipped image, and the pixels in each."""
    from skimage.measure import block_reduce  # noqa: PLC0415 - heavy

    limited = np.where(known, np.clip(image, -CLIP, CLIP), np.float32(0))
    blocks = (factor, factor)
    total = block_reduce(limited, blocks, np.sum)
    count = block_reduce(known.astype(np.float32), blocks, np.sum)
    return total, count


def _significance(
    total: NDArray[np.float32], count: NDArray[np.float32], factor: int, search: Search
) -> NDArray[np.float64]:
    """Return the significance of each line, (offset, angle), over the widths of trails."""
    from scipy.ndimage import uniform_filter1d  # noqa: PLC0415 - heavy
    from skimage.transform import radon  # noqa: PLC0415 - heavy

    angles = np.arange(_ANGLES) * (180.0 / _ANGLES)
    sums, weights = (
        radon(plane, theta=angles, circle=False, preserve_range=True) for plane in (total, count)
    )
    best = np.zeros(sums.shape)
    size = 1
    while size == 1 or size * factor <= search.width:
        wide, around = (uniform_filter1d(p, size, axis=0, mode="constant") for p in (sums, weights))
        # Lines that only cut a corner have too few pixels to be trails.
        enough = around > 0.1 * around.max(initial=0)
        values = np.where(enough, wide / np.sqrt(np.maximum(around, 1e-9)), 0)
        best = np.maximum(best, values / _scatter(values, enough))
        size = 2 * size + 1
    # In skimage angle 0 sums columns and 90 sums rows.
    axes = np.minimum(np.abs((angles + 45) % 90 - 45), 90)
    best[:, axes < search.axis_margin] = 0
    return best


def _scatter(values: NDArray[np.float64], enough: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the robust deviation for each angle: rotating an image smooths its noise."""
    plenty = enough.sum(axis=0) >= _FEWEST_OFFSETS
    scatter = np.zeros(values.shape[1])
    scatter[plenty] = SIGMA_PER_MAD * np.nanmedian(
        np.where(enough, np.abs(values), np.nan)[:, plenty], axis=0
    )
    typical = float(np.median(scatter[plenty])) if plenty.any() else 0.0
    # An angle at which most lines are bright has no scatter of noise alone.
    scatter = np.where(plenty & (scatter > 0), np.maximum(scatter, 0.5 * typical), np.inf)
    return np.asarray(scatter, dtype=np.float64)


def _line(offset: int, angle: int, side: int, shape: tuple[int, ...], factor: int) -> Line:
    """Return the line that skimage's transform sums at a place of the sinogram."""
    radians = math.radians(angle * 180.0 / _ANGLES)
    across = offset - side // 2
    ny, nx = (-(-length // factor) for length in shape)
    # The padding of `radon` puts the pixel n // 2 of the image at its center.
    x = nx // 2 + across * math.cos(radians)
    y = ny // 2 - across * math.sin(radians)
    steep = math.degrees(math.atan2(math.cos(radians), math.sin(radians)))
    steep = steep - 180 if steep > 90 else steep  # noqa: PLR2004 - degrees
    return Line((x + 0.5) * factor - 0.5, (y + 0.5) * factor - 0.5, steep)
