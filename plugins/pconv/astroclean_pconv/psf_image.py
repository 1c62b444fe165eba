"""`PsfImage`: the image of a point source anywhere, also a little turned or widened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.stamp import FINER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.psf import Psf

__all__ = ["PsfImage", "psf_images"]

_STEP = 0.02
"""Pixels over which a slope is measured."""


@dataclass(frozen=True, eq=False)
class PsfImage:
    """A PSF as a function of the place, and of two things that PSFs are told wrongly by."""

    fine: NDArray[np.float64]
    """(FINER (ky - 1) + 1, FINER (kx - 1) + 1): as `astroclean.core.psf.Psf.fine`."""
    turn: float = 0.0
    """Radians by which it is turned, from x to y."""
    width: float = 1.0
    """Times that it is wider."""

    @cached_property
    def _spline(self) -> NDArray[np.float64]:
        from scipy.ndimage import spline_filter  # noqa: PLC0415 - costs a fifth of a second

        return np.asarray(spline_filter(self.fine, order=3))

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
        new = replace(self, turn=self.turn + turn, width=self.width * width)
        # The splines are those of the PSF, which has not changed.
        new.__dict__["_spline"] = self._spline
        return new

    def at(self, dy: NDArray[np.float64], dx: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return its values.

        Parameters
        ----------
        dy, dx : array of float64
            Places relative to the source, pixels.

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
        values = map_coordinates(self._spline, places, order=3, prefilter=False)
        return np.asarray(values) / self.width**2

    def moved(
        self, dy: NDArray[np.float64], dx: NDArray[np.float64]
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

    def drawn(
        self, dy: NDArray[np.float64], dx: NDArray[np.float64]
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


def psf_images(psf: Psf, positions: NDArray[np.float64]) -> list[PsfImage]:
    """Return the image of each source.

    Parameters
    ----------
    psf : Psf
        Of the frame; where it varies it is taken at each source.
    positions : (n, 2) float64
        x, y of the sources, pixels.

    Returns
    -------
    list of PsfImage
        n of them; one and the same where the PSF is constant.
    """
    if psf.is_constant:
        return [PsfImage(psf.fine[0])] * len(positions)
    return [PsfImage(psf.fine_at(float(x), float(y))) for x, y in positions]
