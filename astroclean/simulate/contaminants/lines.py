"""Hot and dead columns and lines (HOT_LINE, DEAD_LINE)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.stage.options import Options
from astroclean.simulate.contaminants.layers import empty_planes
from astroclean.simulate.draws import Range, log_uniform, uniform, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LineRange", "add_dead_lines", "add_hot_lines", "dead_values", "hot_values"]

_SHORTEST = 30
"""Pixels."""
_DEAD_RECIPES = 3


class LineRange(Options):
    """What defective lines are drawn from (the paper's ranges)."""

    count: tuple[int, int] = (1, 4)
    thickness: tuple[int, int] = (1, 3)
    hot: Range = (15.0, 100.0)
    """Standard deviations of empty sky."""


def hot_values(
    rng: np.random.Generator, count: int, *, noise: float, hot: Range
) -> NDArray[np.float64]:
    """Return electrons of hot pixels that belong together: one level, scattered by 2 percent."""
    level = log_uniform(rng, hot) * noise
    return np.clip(rng.normal(level, 0.02 * level, count), 0.9 * level, 1.1 * level)


def dead_values(
    rng: np.random.Generator, count: int, *, sky: float, noise: float
) -> NDArray[np.float64]:
    """Return electrons of dead pixels: all zero, nearly zero, or a share of the sky's level."""
    recipe = whole(rng, (1, _DEAD_RECIPES))
    if recipe == 1:
        return np.zeros(count)
    if recipe == _DEAD_RECIPES:
        level = uniform(rng, (0.1, 0.7)) * sky
        return np.clip(rng.normal(level, 0.02 * level, count), 0.9 * level, 1.1 * level)
    return rng.normal(0, 0.02 * noise, count)


def _line(
    rng: np.random.Generator, shape: tuple[int, int], limits: LineRange
) -> tuple[slice, slice]:
    """Return a piece of a column, or of a row, one to three pixels thick."""
    axis = whole(rng, (0, 1))
    along, across = shape[axis], shape[1 - axis]
    length = whole(rng, (min(_SHORTEST, along), along))
    # Lines begin at one end of the chip, as charge is lost on its way to the amplifier.
    begin = 0 if rng.random() < 0.5 else along - length  # noqa: PLR2004 - a coin
    if rng.random() < 0.3:  # noqa: PLR2004 - some do not
        begin = whole(rng, (0, along - length))
    thickness = min(whole(rng, limits.thickness), across)
    first = whole(rng, (0, across - thickness))
    pieces = slice(begin, begin + length), slice(first, first + thickness)
    return pieces if axis == 0 else (pieces[1], pieces[0])


def add_hot_lines(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    noise: float,
    limits: LineRange | None = None,
) -> NDArray[np.uint32]:
    """Add hot columns and lines.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons; changed.
    rng : Generator
        Source of chance.
    noise : float
        Standard deviation of empty sky, electrons.
    limits : LineRange, optional
        Counts and levels.

    Returns
    -------
    (ny, nx) uint32
        HOT_LINE on the lines.
    """
    limits = limits or LineRange()
    planes = empty_planes((image.shape[0], image.shape[1]))
    for _ in range(whole(rng, limits.count)):
        box = _line(rng, (image.shape[0], image.shape[1]), limits)
        part = image[box]
        part += hot_values(rng, part.size, noise=noise, hot=limits.hot).reshape(part.shape)
        planes[box] = MaskPlane.HOT_LINE
    return planes


def add_dead_lines(
    image: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    sky: float,
    noise: float,
    limits: LineRange | None = None,
) -> NDArray[np.uint32]:
    """Replace columns and lines by dead ones.

    Parameters
    ----------
    image : (ny, nx) float64
        Electrons; changed.
    rng : Generator
        Source of chance.
    sky, noise : float
        Level and standard deviation of empty sky, electrons.
    limits : LineRange, optional
        Counts.

    Returns
    -------
    (ny, nx) uint32
        DEAD_LINE on the lines.
    """
    limits = limits or LineRange()
    planes = empty_planes((image.shape[0], image.shape[1]))
    for _ in range(whole(rng, limits.count)):
        box = _line(rng, (image.shape[0], image.shape[1]), limits)
        shape = image[box].shape
        values = dead_values(rng, shape[0] * shape[1], sky=sky, noise=noise)
        image[box] = values.reshape(shape)
        planes[box] = MaskPlane.DEAD_LINE
    return planes
