"""Hot and dead pixels, and dead clusters (HOT_PIXEL, DEAD_PIXEL, DEAD_LINE)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.options import Options
from astroclean.simulate.contaminants.layers import empty_planes
from astroclean.simulate.contaminants.lines import dead_values
from astroclean.simulate.draws import Range, uniform, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PixelRange", "add_dead_clusters", "add_dead_pixels", "add_hot_pixels"]

_RECTANGLE = 0.5


class PixelRange(Options):
    """What defective pixels are drawn from (the paper's ranges)."""

    fraction: Range = (0.0002, 0.0005)
    """Of the pixels of the frame."""
    hot: Range = (15.0, 100.0)
    """Standard deviations of empty sky."""
    clusters: tuple[int, int] = (1, 3)
    box: tuple[int, int] = (4, 20)
    """Sides of the box around a cluster, pixels."""


def _places(
    rng: np.random.Generator, image: NDArray[np.float64], limits: PixelRange
) -> NDArray[np.int64]:
    count = max(int(rng.binomial(image.size, uniform(rng, limits.fraction))), 1)
    return rng.choice(image.size, count, replace=False)


def add_hot_pixels(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    noise: float,
    limits: PixelRange | None = None,
) -> NDArray[np.uint32]:
    """Add hot pixels, each with a level of its own.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons, C order; changed.
    rng : Generator
        Source of chance.
    noise : float
        Standard deviation of empty sky, electrons.
    limits : PixelRange, optional
        Fraction and levels.

    Returns
    -------
    (ny, nx) uint32
        HOT_PIXEL at those pixels.
    """
    limits = limits or PixelRange()
    places = _places(rng, image, limits)
    image.reshape(-1)[places] += rng.uniform(*limits.hot, places.size) * noise
    planes = empty_planes((image.shape[0], image.shape[1]))
    planes.reshape(-1)[places] = MaskPlane.HOT_PIXEL
    return planes


def add_dead_pixels(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    sky: float,
    noise: float,
    limits: PixelRange | None = None,
) -> NDArray[np.uint32]:
    """Replace single pixels by dead ones.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons, C order; changed.
    rng : Generator
        Source of chance.
    sky, noise : float
        Level and standard deviation of empty sky, electrons.
    limits : PixelRange, optional
        Fraction.

    Returns
    -------
    (ny, nx) uint32
        DEAD_PIXEL at those pixels.
    """
    limits = limits or PixelRange()
    places = _places(rng, image, limits)
    image.reshape(-1)[places] = dead_values(rng, places.size, sky=sky, noise=noise)
    planes = empty_planes((image.shape[0], image.shape[1]))
    planes.reshape(-1)[places] = MaskPlane.DEAD_PIXEL
    return planes


def add_dead_clusters(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    sky: float,
    noise: float,
    limits: PixelRange | None = None,
) -> NDArray[np.uint32]:
    """Replace rectangles and convex polygons by dead pixels.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons; changed.
    rng : Generator
        Source of chance.
    sky, noise : float
        Level and standard deviation of empty sky, electrons.
    limits : PixelRange, optional
        Counts and sizes.

    Returns
    -------
    (ny, nx) uint32
        DEAD_LINE, the plane of lines and clusters, inside them.
    """
    limits = limits or PixelRange()
    planes = empty_planes((image.shape[0], image.shape[1]))
    ny, nx = image.shape
    for _ in range(whole(rng, limits.clusters)):
        height, width = min(whole(rng, limits.box), ny), min(whole(rng, limits.box), nx)
        inside = np.ones((height, width), dtype=bool)
        if rng.random() > _RECTANGLE:
            inside = _polygon(rng, height, width)
        y, x = whole(rng, (0, ny - height)), whole(rng, (0, nx - width))
        values = dead_values(rng, int(inside.sum()), sky=sky, noise=noise)
        image[y : y + height, x : x + width][inside] = values
        planes[y : y + height, x : x + width][inside] = MaskPlane.DEAD_LINE
    return planes


def _polygon(rng: np.random.Generator, height: int, width: int) -> NDArray[np.bool_]:
    """Return a convex polygon of 5 or 6 edges, with its corners on an ellipse in the box."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, whole(rng, (5, 6))))
    cy, cx = (height - 1) / 2, (width - 1) / 2
    py, px = cy + height / 2 * np.sin(angles), cx + width / 2 * np.cos(angles)
    y, x = np.mgrid[:height, :width]
    inside = np.ones((height, width), dtype=bool)
    for y0, x0, y1, x1 in zip(py, px, np.roll(py, -1), np.roll(px, -1), strict=True):
        inside &= (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) >= 0
    inside[int(py.mean().clip(0, height - 1)), int(px.mean().clip(0, width - 1))] = True
    return inside
