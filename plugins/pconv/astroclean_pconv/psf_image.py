"""`PsfImage`: the image of a point source anywhere, also a little turned or widened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from astroclean.core.stamp import finer_stamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from astroclean.core.psf import Psf

__all__ = ["PsfImage", "psf_images"]

# Cubic splines between the pixels of a PSF of 3 pixels err by 0.2 % of the peak; at four times the
# sampling, by a thousandth of that.
_FINER = 4


@dataclass(frozen=True, eq=False)
class PsfImage:
    """A PSF as a function of the place, and of two things that PSFs are told wrongly by."""

    stamp: NDArray[np.float64]
    """(ky, kx), odd, of sum 1."""
    turn: float = 0.0
    """Radians by which it is turned, from x to y."""
    width: float = 1.0
    """Times that it is wider."""

    @cached_property
    def _spline(self) -> NDArray[np.float64]:
        from scipy.ndimage import spline_filter  # noqa: PLC0415 - costs a fifth of a second

        return np.asarray(spline_filter(finer_stamp(self.stamp, _FINER), order=3))

    @property
    def reach(self) -> int:
        """Pixels from the middle beyond which there is nothing."""
        return int(self.width * max(self.stamp.shape)) // 2 + 1

    def changed(self, *, turn: float = 0.0, width: float = 1.0) -> PsfImage:
        """Return the same, further turned and widened."""
        new = replace(self, turn=self.turn + turn, width=self.width * width)
        # The splines are those of the stamp, which has not changed.
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
        ky, kx = self.stamp.shape
        places = [_FINER * (y + ky // 2), _FINER * (x + kx // 2)]
        values = map_coordinates(self._spline, places, order=3, prefilter=False)
        return np.asarray(values) / self.width**2

    def slopes(self, dy: NDArray[np.float64], dx: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how the values change with x, y (pixels), turn (radians) and width of the source.

        Returns
        -------
        (4, ...) float64
            Derivatives.
        """
        step = 0.02
        ends = [
            (self.at(dy, dx - sign * step), self.at(dy - sign * step, dx)) for sign in (1.0, -1.0)
        ]
        moved = [(after - before) / (2 * step) for after, before in zip(*ends, strict=True)]
        # d p(x / w) / w^2 by w at 1, and a rotation, are combinations of both.
        turned = dx * moved[1] - dy * moved[0]
        widened = dx * moved[0] + dy * moved[1] - 2 * self.at(dy, dx)
        return np.stack([*moved, turned, widened])


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
        return [PsfImage(psf.stamps[0])] * len(positions)
    return [PsfImage(psf.at(float(x), float(y))) for x, y in positions]
