"""Point sources on a fine grid, exactly, and what a beam makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from astroclean.core.psf.stamp import FWHM_PER_SIGMA

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

__all__ = ["AnyBeam", "Beam", "Light"]

_REACH = (-1, 0, 1, 2)


class AnyBeam(Protocol):
    """What sees the light of a sky: a `Beam`, or one that was measured."""

    def transfer(self, u: Values, v: Values, pixel: float) -> NDArray[Any]:
        """Return its Fourier transform (m, n), float64 or complex128, at frequencies.

        Parameters
        ----------
        u, v : (1, n), (m, 1) float64
            Along x and y, cycles a pixel.
        pixel : float
            Side of a pixel, arcsec.
        """
        ...

    def stamp(self, pixel: float) -> Values:
        """Return its image (side, side) on pixels of some arcsec, of peak 1."""
        ...


class Beam:
    """A beam of peak 1: a Gaussian, and a share of its light in a wider one.

    Parameters
    ----------
    fwhm : float
        Arcsec.
    ellipticity : float
        ``(a - b) / (a + b)`` of its axes.
    angle : float
        Of its major axis, radians from x to y.
    wings : float
        Share of the light in a Gaussian three times as wide.
    """

    def __init__(
        self, fwhm: float, *, ellipticity: float = 0.0, angle: float = 0.0, wings: float = 0.0
    ) -> None:
        self.fwhm, self.ellipticity, self.angle, self.wings = fwhm, ellipticity, angle, wings

    def transfer(self, u: Values, v: Values, pixel: float) -> Values:
        """Return its Fourier transform.

        Parameters
        ----------
        u, v : array of float64
            Frequencies along x and y, cycles a pixel.
        pixel : float
            Side of a pixel, arcsec.

        Returns
        -------
        array of float64
            Its value at zero is the sum over pixels of a beam whose peak is 1.
        """
        sigma = self.fwhm / FWHM_PER_SIGMA / pixel
        c, s = np.cos(self.angle), np.sin(self.angle)
        long, short = sigma * (1 + self.ellipticity), sigma * (1 - self.ellipticity)
        square = (long * (c * u + s * v)) ** 2 + (short * (c * v - s * u)) ** 2
        core = (1 - self.wings) * np.exp(-2 * np.pi**2 * square)
        wide = self.wings * np.exp(-2 * np.pi**2 * 9 * square) if self.wings else 0.0
        # Values of both at their middle, for a light of 1.
        peak = ((1 - self.wings) + self.wings / 9) / (2 * np.pi * long * short)
        return np.asarray((core + wide) / peak)

    def stamp(self, pixel: float) -> Values:
        """Return its image (side, side) on pixels of some arcsec, of peak 1."""
        half = int(np.ceil((4.0 if self.wings else 2.2) * self.fwhm / pixel))
        x = np.arange(-half, half + 1.0)
        sigma = self.fwhm / FWHM_PER_SIGMA / pixel
        c, s = np.cos(self.angle), np.sin(self.angle)
        xx, yy = np.meshgrid(x, x)
        long, short = sigma * (1 + self.ellipticity), sigma * (1 - self.ellipticity)
        square = ((c * xx + s * yy) / long) ** 2 + ((c * yy - s * xx) / short) ** 2
        image = (1 - self.wings) * np.exp(-square / 2)
        if self.wings:
            image = image + self.wings / 9 * np.exp(-square / 18)
        return np.asarray(image / image.max())


class Light:
    """Fluxes of one band on a periodic grid, between whose pixels sources may lie.

    A source is spread over 4 x 4 pixels by a cubic spline, whose blur is taken away again in
    Fourier space: what a beam of four pixels or more then shows is exact to two parts in a
    thousand of its peak, and its sum to rounding.

    Parameters
    ----------
    x, y, flux : (n,) float64
        Pixels, unit of one's choice.
    shape : (int, int)
        (ny, nx) of the grid.
    pixel : float
        Side of a pixel, arcsec.
    """

    def __init__(
        self, x: Values, y: Values, flux: Values, *, shape: tuple[int, int], pixel: float
    ) -> None:
        from scipy.fft import rfft2  # noqa: PLC0415 - slow to import

        ny, nx = shape
        image = np.zeros(ny * nx)
        column, row = np.floor(x).astype(int), np.floor(y).astype(int)
        across, along = _weights(x - column), _weights(y - row)
        for j, dy in enumerate(_REACH):
            for i, dx in enumerate(_REACH):
                places = (row + dy) % ny * nx + (column + dx) % nx
                image += np.bincount(places, flux * along[j] * across[i], minlength=ny * nx)
        self._shape, self._pixel = shape, pixel
        self._u: Values = np.asarray(np.fft.rfftfreq(nx), dtype=np.float64)[np.newaxis, :]
        self._v: Values = np.asarray(np.fft.fftfreq(ny), dtype=np.float64)[:, np.newaxis]
        self._spectrum = rfft2(image.reshape(shape)) / (_spline(self._u) * _spline(self._v))

    def add(self, image: Values) -> None:
        """Add extended light, flux a pixel."""
        from scipy.fft import rfft2  # noqa: PLC0415 - slow to import

        self._spectrum += rfft2(image)

    def seen(self, beam: AnyBeam) -> Values:
        """Return the image (ny, nx) that a beam makes, in the unit of the fluxes per beam."""
        from scipy.fft import irfft2  # noqa: PLC0415 - slow to import

        transfer = beam.transfer(self._u, self._v, self._pixel)
        return np.asarray(irfft2(self._spectrum * transfer, s=self._shape))


def _weights(part: Values) -> list[Values]:
    """Return the cubic spline at the four pixels around places between two of them."""
    rest = 1 - part
    return [
        rest**3 / 6,
        2 / 3 - part**2 * (2 - part) / 2,
        2 / 3 - rest**2 * (2 - rest) / 2,
        part**3 / 6,
    ]


def _spline(frequency: Values) -> Values:
    """Return the Fourier transform of the sampled cubic spline's continuous form."""
    return np.asarray(np.sinc(frequency) ** 4)
