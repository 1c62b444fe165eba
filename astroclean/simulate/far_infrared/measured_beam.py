"""A beam as a file shows it: of a planet, or of an optical model."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from astropy.wcs import WCS

from astroclean.core.image.grid import Grid
from astroclean.core.psf.stamp import core_centroid
from astroclean.errors import PsfError
from astroclean.io.fits.source import FitsSource

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.io.fits.hdu_info import HduInfo

    Values = NDArray[np.float64]

__all__ = ["ARRAYS", "MeasuredBeam", "read_beam"]

ARRAYS = {"250": "PSW", "350": "PMW", "500": "PLW"}
"""SPIRE's names of its bands, which files of beams use for their HDUs."""
_PLANE = 2


class MeasuredBeam:
    """A beam whose image is known, of peak 1 at the centroid of its core.

    Parameters
    ----------
    image : (ky, kx) float64
        Of a point source, in any unit; its place need not be a pixel. Nothing is taken away: a
        pedestal counts as light. Not modified.
    pixel : float
        Side of its pixels, arcsec. A beam should have four of them or more along its FWHM.

    Raises
    ------
    PsfError
        The image is not finite or not 2-D, or has no light, or the pixel is not positive.
    """

    def __init__(self, image: Values, pixel: float) -> None:
        from scipy.ndimage import map_coordinates, spline_filter  # noqa: PLC0415 - slow to import

        array = np.asarray(image, dtype=np.float64)
        if array.ndim != _PLANE or array.size == 0 or not np.isfinite(array).all():
            raise PsfError(
                "the image of a beam must be 2-D and finite",
                received=f"shape {array.shape}, {np.count_nonzero(~np.isfinite(array))} not finite",
            )
        if not (array.max() > 0 and array.sum() > 0 and pixel > 0):
            raise PsfError(
                "the image of a beam must have light, and pixels a size",
                received=f"sum {array.sum():.3g}, pixel {pixel:.3g} arcsec",
            )
        self._middle, self.pixel = core_centroid(array), pixel
        place = np.reshape(self._middle, (2, 1))
        self._image = array / float(map_coordinates(array, place, order=3, mode="nearest")[0])
        self._coefficients = spline_filter(self._image, order=3, mode="nearest")

    def stretched(self, factor: float) -> MeasuredBeam:
        """Return the beam wider by a factor."""
        return self if factor == 1 else MeasuredBeam(self._image, self.pixel * factor)

    def transfer(self, u: Values, v: Values, pixel: float) -> NDArray[np.complex128]:
        """Return its Fourier transform.

        Parameters
        ----------
        u, v : (1, n), (m, 1) float64
            Frequencies along x and y, cycles a pixel.
        pixel : float
            Side of a pixel, arcsec.

        Returns
        -------
        (m, n) complex128
            Its value at zero is the sum over pixels of a beam whose peak is 1. Frequencies that
            the image's own pixels cannot tell are 0.
        """
        step = self.pixel / pixel
        y, x = (
            np.arange(side) - middle
            for side, middle in zip(self._image.shape, self._middle, strict=True)
        )
        across = np.exp(-2j * np.pi * step * x[:, np.newaxis] * u.ravel())
        along = np.exp(-2j * np.pi * step * v.ravel()[:, np.newaxis] * y)
        told = (np.abs(u) * step < 1 / 2) & (np.abs(v) * step < 1 / 2)
        return np.asarray(np.where(told, along @ (self._image @ across), 0) * step**2)

    def stamp(self, pixel: float) -> Values:
        """Return its image (side, side) on pixels of some arcsec, of 1 in the middle.

        The largest square about the middle that the image covers.
        """
        from scipy.ndimage import map_coordinates  # noqa: PLC0415 - slow to import

        step = pixel / self.pixel
        reach = min(
            min(middle, side - 1 - middle)
            for side, middle in zip(self._image.shape, self._middle, strict=True)
        )
        offsets = step * np.arange(-int(reach / step), int(reach / step) + 1)
        rows, columns = (offsets + middle for middle in self._middle)
        places = np.meshgrid(rows, columns, indexing="ij")
        return np.asarray(map_coordinates(self._coefficients, places, order=3, prefilter=False))


@lru_cache(maxsize=8)
def read_beam(path: Path, band: str) -> MeasuredBeam:
    """Read the beam of a band; a file is read once.

    Parameters
    ----------
    path : Path
        FITS file with celestial WCS, which tells the size of the pixels; the beam is not turned by
        it. Of several images that with the name of the band, or of SPIRE's array (``PSW``, ...).
    band : str
        ``"250"``, ...

    Returns
    -------
    MeasuredBeam

    Raises
    ------
    PsfError
        No such file, no image of the band, no pixel scale, or what it shows is no beam.
    FitsReadError
        The file is damaged.
    """
    file = path.expanduser()
    if not file.is_file():
        raise PsfError("no such file", where=str(file), remedy="Check maps.beam_files.")
    with FitsSource(file) as source:
        info = _image_of(source.hdus, band, str(file))
        header = source.header(info.index)
        image = np.asarray(source.read(info.index), dtype=np.float64)
    where = f"{file}[{info.label}]"
    ny, nx = info.shape
    pixel = Grid((ny, nx), WCS(header)).pixel_scale
    if pixel is None:
        raise PsfError("the WCS of a beam must tell the size of its pixels", where=where)
    try:
        return MeasuredBeam(image, pixel)
    except PsfError as error:
        raise error.at(where) from None


def _image_of(hdus: tuple[HduInfo, ...], band: str, where: str) -> HduInfo:
    """Return the HDU of a band: the only image, or that with its name."""
    images = [hdu for hdu in hdus if len(hdu.shape) == _PLANE]
    names = {band, ARRAYS.get(band, band)}
    named = images if len(images) == 1 else [hdu for hdu in images if hdu.name in names]
    if len(named) != 1:
        raise PsfError(
            f"needs one image, or one that is called {' or '.join(sorted(names))}",
            where=where,
            received=", ".join(hdu.label for hdu in images) or "no image",
        )
    return named[0]
