"""`PsfImage`: the image of a point source anywhere, also a little turned or widened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from astroclean.core.image.arrays import add_box
from astroclean.core.psf.stamp import FINER

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Box = tuple[slice, slice]

__all__ = ["Drawn", "PsfImage", "drawn_sources", "spline_coefficients"]

_STEP = 0.02
"""Pixels over which a slope is measured."""


class Drawn(NamedTuple):
    """A point source, or several of them, as pixels see it: see `Psf.drawn_at`."""

    data: NDArray[np.float64]
    """(..., my, mx): one box a source."""
    origin: NDArray[np.intp]
    """(..., 2): (y, x) of the first pixel of each box."""

    def add_to(self, image: NDArray[Any]) -> None:
        """Add it to an image in place; what reaches beyond the image is lost."""
        for one in np.ndindex(self.origin.shape[:-1]):
            add_box(image, self.data[one], self.origin[one].tolist())


def spline_coefficients(fine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the coefficients of the cubic splines through the samples of an image, (fy, fx)."""
    from scipy.ndimage import spline_filter  # noqa: PLC0415 - costs a fifth of a second

    return np.asarray(spline_filter(fine, order=3))


@dataclass(frozen=True, eq=False)
class PsfImage:
    """A PSF as a function of the place, and of two things that PSFs are told wrongly by."""

    fine: NDArray[np.float64]
    """(FINER (ky - 1) + 1, FINER (kx - 1) + 1): as `astroclean.core.psf.psf.Psf.fine`."""
    turn: float = 0.0
    """Radians by which it is turned, from x to y."""
    width: float = 1.0
    """Times that it is wider."""
    coefficients: NDArray[np.float64] | None = None
    """Those of ``fine``, where they are known."""

    @cached_property
    def _splines(self) -> NDArray[np.float64]:
        return spline_coefficients(self.fine) if self.coefficients is None else self.coefficients

    @property
    def reach(self) -> int:
        """Pixels from the middle beyond which there is nothing."""
        return int(self.width * (max(self.fine.shape) // FINER + 1)) // 2 + 1

    @cached_property
    def _rings(self) -> NDArray[np.float64]:
        """(n,): the most brightness at 0, 1, ... pixels from the middle or farther, as a part."""
        pixels = np.abs(self.fine[::FINER, ::FINER])
        away = [np.abs(np.arange(n) - n // 2) for n in pixels.shape]
        rings = np.zeros(max(pixels.shape) // 2 + 1)
        np.maximum.at(rings, np.maximum(away[0][:, None], away[1]), pixels)
        return np.asarray(np.maximum.accumulate(rings[::-1])[::-1] / rings.max())

    def reach_of(self, part: float) -> int:
        """Return the pixels from the middle beyond which it is fainter than a part of its peak."""
        return min(int(self.width * (np.count_nonzero(self._rings > part) + 1)), self.reach)

    def changed(self, *, turn: float = 0.0, width: float = 1.0) -> PsfImage:
        """Return the same, further turned and widened."""
        # The splines are those of the PSF, which has not changed.
        return replace(
            self, turn=self.turn + turn, width=self.width * width, coefficients=self._splines
        )

    def at(self, dy: NDArray[Any], dx: NDArray[Any]) -> NDArray[np.float64]:
        """Return its values.

        Parameters
        ----------
        dy, dx : array
            Places of the pixels relative to the source, in pixels; broadcast against each other.

        Returns
        -------
        array of float64
            Of a source of flux 1, in the shape of the places.
        """
        from scipy.ndimage import map_coordinates  # noqa: PLC0415 - costs a fifth of a second

        cos, sin = np.cos(self.turn), np.sin(self.turn)
        x, y = (cos * dx + sin * dy) / self.width, (cos * dy - sin * dx) / self.width
        ky, kx = self.fine.shape
        places = [FINER * y + ky // 2, FINER * x + kx // 2]
        values = map_coordinates(self._splines, places, order=3, prefilter=False)
        return np.asarray(values) / self.width**2

    def moved(
        self, dy: NDArray[Any], dx: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the values, and how they change with x and y of the source.

        Returns
        -------
        values : (...) float64
            Of a source of flux 1.
        slopes : (2, ...) float64
            Derivatives by x and by y, per pixel.
        """
        steps = _STEP * np.array([[0, 0], [0, 1], [0, -1], [1, 0], [-1, 0]])
        shape = (-1, *(1,) * dy.ndim)
        values = self.at(dy - steps[:, 0].reshape(shape), dx - steps[:, 1].reshape(shape))
        return values[0], (values[1::2] - values[2::2]) / (2 * _STEP)

    def varied(
        self, dy: NDArray[Any], dx: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the values, and how they change with all that is told of the source.

        Returns
        -------
        values : (...) float64
            Of a source of flux 1.
        slopes : (4, ...) float64
            Derivatives by x, y (pixels), turn (radians) and width.
        """
        values, (by_x, by_y) = self.moved(dy, dx)
        # d p(x / w) / w^2 by w at 1, and a rotation, are combinations of both.
        turned = dx * by_y - dy * by_x
        widened = dx * by_x + dy * by_y - 2 * values
        return values, np.stack([by_x, by_y, turned, widened])


def drawn_sources(
    image_at: Callable[[float, float], PsfImage],
    shape: tuple[int, int],
    x: Any,
    y: Any,
    flux: Any,
    box: Box | None,
) -> Drawn:
    """Draw point sources.

    Parameters
    ----------
    image_at : callable
        PSF at (x, y).
    shape : (int, int)
        (ky, kx) of its stamps.
    x, y, flux : float or (n,) array_like
        Of the sources.
    box : (slice, slice) or None
        As of `astroclean.core.psf.psf.Psf.drawn_at`.

    Returns
    -------
    Drawn
        New arrays.
    """
    x, y, flux = np.broadcast_arrays(
        *(np.asarray(value, dtype=np.float64) for value in (x, y, flux))
    )
    sides = [side + 2 for side in shape]
    if box is None:
        first = [np.rint(p).astype(int) - side // 2 for p, side in zip((y, x), sides, strict=True)]
    else:
        sides = [pixels.stop - pixels.start for pixels in box]
        first = [np.full(x.shape, pixels.start) for pixels in box]
    data = np.empty((*x.shape, *sides))
    for one in np.ndindex(x.shape):
        dy, dx = (
            low[one] + np.arange(side) - place[one]
            for low, side, place in zip(first, sides, (y, x), strict=True)
        )
        data[one] = flux[one] * image_at(float(x[one]), float(y[one])).at(dy[:, np.newaxis], dx)
    return Drawn(data, np.stack(first, axis=-1))
