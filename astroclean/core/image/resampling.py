"""Images brought to the pixels of another grid, by splines between their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.image.grid import Grid

__all__ = ["resampled"]

_ALL_AROUND = 0.99
_ROUNDING = 1e-3
"""Pixels by which a place may seem to lie beyond a border that it lies on."""
_LANES = 256
"""Rows that are brought over at a time: their places are of float64, two a pixel."""


def resampled(
    values: NDArray[np.floating],
    known: NDArray[np.bool_],
    *,
    own: Grid,
    grid: Grid,
    order: int = 3,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return an image on other pixels: values per beam or solid angle, which have no area.

    Splines are exact for what is sampled well, such as a beam of three pixels; on finer pixels
    noise is then the same as before, and neighbors share it.

    Parameters
    ----------
    values : (ny, nx) float
        Not modified; read where it is known alone.
    known : (ny, nx) bool
        Which values count. Beside others, splines see the nearest that does.
    own, grid : Grid
        Pixels of the image, and those that are wanted.
    order : int
        Of the splines: 1, or 3, which may overshoot.

    Returns
    -------
    values : (my, mx) float32
        0 where not known.
    known : (my, mx) bool
        Where the pixels around are known, all four; at a border those that there are.
    """
    from scipy.ndimage import (  # noqa: PLC0415 - slow to import
        distance_transform_edt,
        map_coordinates,
        spline_filter,
    )

    if not known.any():
        return np.zeros(grid.shape, np.float32), np.zeros(grid.shape, bool)
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    filled = np.asarray(values, dtype=np.float32)[tuple(nearest)]
    # Once for all rows, mirrored at the borders as in between.
    splines = (
        spline_filter(filled, order, output=np.float32, mode="mirror") if order > 1 else filled
    )
    image, inside = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, bool)
    for start in range(0, grid.shape[0], _LANES):
        rows = slice(start, min(start + _LANES, grid.shape[0]))
        places = np.nan_to_num(grid.rows(rows).places_in(own), nan=-1e6)
        part = map_coordinates(splines, places, order=order, prefilter=False, mode="mirror")
        share = map_coordinates(known.astype(np.float32), places, order=1, mode="nearest")
        inside[rows] = (share > _ALL_AROUND) & _on_pixels(places, values.shape)
        image[rows] = np.where(inside[rows], part, 0)
    return image, inside


def _on_pixels(places: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which places (y, x) lie on the pixels of an image, their outer halves included."""
    rows, columns = (
        np.abs(place - (side - 1) / 2) <= side / 2 + _ROUNDING
        for place, side in zip(places, shape, strict=True)
    )
    return np.asarray(rows & columns)
