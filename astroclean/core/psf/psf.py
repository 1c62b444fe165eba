"""`Psf`: a stamp, or stamps over the frame; always finite, odd, centred and of sum 1."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.files import file_function
from astroclean.core.psf.draw import Drawn, PsfImage, drawn_sources, spline_coefficients
from astroclean.core.psf.models import fine_gaussian, fine_of_model, gaussian_of_width
from astroclean.core.psf.positions import StampPositions, stamp_positions
from astroclean.core.psf.repair import repaired_stamps
from astroclean.core.psf.stamp import (
    FINER,
    WELL_SAMPLED,
    checked_fine,
    checked_stamp,
    core_centroid,
    finer_stamp,
    half_maximum_width,
    sampled_stamp,
)
from astroclean.errors import PsfError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Psf"]

_STAMP, _GRID = 2, 3


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Psf:
    """Point spread function of a frame, sampled on the frame's pixels.

    Parameters
    ----------
    stamps : (ky, kx) or (n, ky, kx) array_like
        One stamp, or one for each position. Sides are odd; the peak lies within one pixel of the
        centre. Scaled here to sum 1.
    positions : (n, 2) array_like, optional
        (x, y) in pixels of each stamp, in any order: all nodes of a rectangular grid, or wherever
        the PSF was measured. See `astroclean.core.psf.positions.StampPositions` for what is
        between them.
    fine : (n, FINER (ky - 1) + 1, FINER (kx - 1) + 1) array_like, optional
        The same at a quarter of a pixel from each other (`astroclean.core.psf.stamp.FINER`),
        integrated over the frame's pixels, where a finer image than the stamps tells it.
    computed : bool
        Whether a method made the stamps: what is below zero is meant. Others without ``fine`` are
        taken as measured, and a pedestal is taken away.

    Raises
    ------
    PsfError
        A stamp is no image of one star, has an even side or its peak off its centre, there is not
        one position for each, or ``fine`` does not fit the stamps.

    Warns
    -----
    AstrocleanWarning
        A pedestal was taken away, or a stamp ends within the PSF.
    """

    stamps: NDArray[np.float64]
    """(n, ky, kx), each of sum 1."""
    positions: NDArray[np.float64] | None
    """(n, 2) pixel positions (x, y), or None for a constant PSF."""
    _fine: NDArray[np.float64] | None
    _places: StampPositions | None

    def __init__(
        self, stamps: Any, positions: Any = None, *, fine: Any = None, computed: bool = False
    ) -> None:
        array = np.asarray(stamps, dtype=np.float64)
        array = array[np.newaxis] if array.ndim == _STAMP else array
        if array.ndim != _GRID or array.size == 0:
            raise PsfError("a PSF is a stamp (ky, kx) or a set (n, ky, kx)", received=array.shape)
        places = None if positions is None else np.asarray(positions, dtype=np.float64)
        between = stamp_positions(len(array), places)
        if fine is None and not computed:
            array = np.stack(repaired_stamps(list(array)))
        normalized = np.stack([checked_stamp(stamp) for stamp in array])
        object.__setattr__(self, "stamps", normalized)
        object.__setattr__(self, "positions", places)
        object.__setattr__(self, "_places", between)
        object.__setattr__(self, "_fine", None if fine is None else checked_fine(fine, array))

    def __repr__(self) -> str:
        sides = " x ".join(str(side) for side in self.stamps.shape)
        return f"<Psf: stamps {sides}, FWHM {self.fwhm_pixels:.3g} pixels>"

    @cached_property
    def fine(self) -> NDArray[np.float64]:
        """(n, FINER (ky - 1) + 1, FINER (kx - 1) + 1): the stamps at quarters of a pixel.

        As measured, or by their Fourier series, exact if they are sampled well.
        """
        if self._fine is not None:
            return self._fine
        return np.stack([finer_stamp(stamp) for stamp in self.stamps])

    @property
    def measured_fine(self) -> NDArray[np.float64] | None:
        """``fine`` where a finer image was given; None where it would be worked out."""
        return self._fine

    @property
    def is_known_between_pixels(self) -> bool:
        """Whether ``fine`` can be relied on: measured, or told by stamps that are sampled well."""
        return self._fine is not None or self.fwhm_pixels >= WELL_SAMPLED

    @property
    def shape(self) -> tuple[int, int]:
        """(ky, kx) of the stamps, in pixels."""
        _, ky, kx = self.stamps.shape
        return ky, kx

    @property
    def is_constant(self) -> bool:
        """Whether one stamp serves the whole frame."""
        return self.positions is None

    @cached_property
    def fwhm_pixels(self) -> float:
        """Full width at half maximum in pixels: of the circle with the area above half maximum.

        Averaged over the stamps; meaningful from about 1.5 pixels upwards.
        """
        return float(np.mean([half_maximum_width(stamp) for stamp in self.stamps]))

    def at(self, x: float, y: float) -> NDArray[np.float64]:
        """Return the stamp at a position, interpolated between those that are known.

        Parameters
        ----------
        x, y : float
            Pixel position; beyond the outermost stamps the nearest place among them is taken.

        Returns
        -------
        (ky, kx) float64
            Sum 1. A new array.
        """
        return self._joined(self.stamps, x, y)

    def fine_at(self, x: float, y: float) -> NDArray[np.float64]:
        """Return ``fine`` at a position, as `at` does the stamp; a new array."""
        return self._joined(self.fine, x, y)

    def image_at(self, x: float, y: float) -> PsfImage:
        """Return the PSF of a position as a function of the place, which draws what is there.

        It is of flux 1, and one and the same object everywhere where the PSF is constant.
        """
        if self.is_constant:
            return self._image
        return PsfImage(self.fine_at(x, y), coefficients=self._joined(self._splines, x, y))

    def seen_from(self, x: float, y: float) -> Psf:
        """Return the PSF of a part of the frame, whose first pixel is (x, y) of the whole."""
        if self.positions is None:
            return self
        part, positions = copy.copy(self), self.positions - [x, y]
        object.__setattr__(part, "positions", positions)
        object.__setattr__(part, "_places", StampPositions(positions))
        return part

    def images_at(self, positions: NDArray[np.float64]) -> list[PsfImage]:
        """Return `image_at` for each of (n, 2) positions x, y."""
        return [self.image_at(float(x), float(y)) for x, y in positions]

    def drawn_at(
        self, x: Any, y: Any, flux: Any = 1.0, *, box: tuple[slice, slice] | None = None
    ) -> Drawn:
        """Draw point sources; between pixels by cubic splines through ``fine``.

        Parameters
        ----------
        x, y, flux : float or (n,) array_like
            Place in pixels of the frame, and sum over all pixels.
        box : (slice, slice), optional
            Rows and columns of the frame that are drawn, of each source the same; by default all
            pixels that it reaches, ``(ky + 2, kx + 2)``, about the pixel which it lies in.

        Returns
        -------
        Drawn
            ``data`` (my, mx) or (n, my, mx) float64, ``origin`` (2,) or (n, 2), which may lie
            beyond the frame. New arrays.
        """
        return drawn_sources(self.image_at, self.shape, x, y, flux, box)

    @cached_property
    def _image(self) -> PsfImage:
        return PsfImage(self.fine[0], coefficients=self._splines[0])

    @cached_property
    def _splines(self) -> NDArray[np.float64]:
        """Of ``fine``. Those of an image between positions are joined of them as it is itself."""
        return np.stack([spline_coefficients(image) for image in self.fine])

    def _joined(self, images: NDArray[np.float64], x: float, y: float) -> NDArray[np.float64]:
        if self._places is None:
            return np.array(images[0])
        return self._places.joined(images, x, y)

    @classmethod
    def from_fine(cls, fine: NDArray[np.float64], positions: Any = None) -> Psf:
        """Return a PSF from its images at quarters of a pixel, integrated over pixels.

        Parameters
        ----------
        fine : ([n,] FINER (ky - 1) + 1, FINER (kx - 1) + 1) float64
            One image, or one for each of ``positions``; every fourth pixel is one of the stamp.
        """
        return cls(fine[..., ::FINER, ::FINER], positions, fine=fine)

    @classmethod
    def gaussian(cls, *, fwhm_pixels: float) -> Psf:
        """Return a circular Gaussian.

        Parameters
        ----------
        fwhm_pixels : float
            Full width at half maximum in pixels, at least 0.5, of the light that falls on them.

        Returns
        -------
        Psf
            Out to five standard deviations, integrated over each pixel.

        Raises
        ------
        PsfError
            The width is not a number of 0.5 pixels or more.
        """
        return cls.from_fine(fine_gaussian(fwhm_pixels))

    @classmethod
    def from_fwhm(
        cls, fwhm: Any, *, pixel_scale_arcsec: float | None = None, includes_pixel: bool = False
    ) -> Psf:
        """Return a circular Gaussian, as :meth:`gaussian` does, from a width with its unit.

        Parameters
        ----------
        fwhm : str or Quantity
            Full width at half maximum: ``"0.9 arcsec"``, ``"2.5 pixel"``.
        pixel_scale_arcsec : float, optional
            Pixel of the frame in arcsec; needed where the width is an angle.
        includes_pixel : bool
            Whether it was measured on pixels, as those of stars are: they widen the light.

        Raises
        ------
        PsfError
            The width is too small, has no such unit, or an angle comes without pixel scale.
        """
        return cls.from_fine(gaussian_of_width(fwhm, pixel_scale_arcsec, includes_pixel))

    @classmethod
    def read(cls, path: str | Path, *, pixel_scale_arcsec: float | None = None) -> Psf:
        """Read a PSF from a FITS file and sample it on a frame's pixels.

        Parameters
        ----------
        path : str or Path
            A stamp with its pixel scale in the header, or a cube with the positions of its planes.
        pixel_scale_arcsec : float, optional
            Pixel of the frame in arcsec; needed unless the file tells its oversampling.

        Returns
        -------
        Psf
            Centred, of sum 1.

        Raises
        ------
        PsfError
            No image, or a pixel scale is not known.
        FitsReadError
            The file is damaged.
        """
        psf: Psf = file_function("read_psf")(Path(path), pixel_scale_arcsec)
        return psf

    @classmethod
    def resampled(cls, stamp: Any, *, scale: float) -> Psf:
        """Return a PSF from a stamp with other pixels than the frame's.

        Parameters
        ----------
        stamp : (ky, kx) array_like
            Image of a point source; sides may be even, the peak may lie off the centre.
        scale : float
            Size of the frame's pixel in pixels of the stamp (above 1: the stamp is oversampled).

        Returns
        -------
        Psf
            Centred on the centroid of the core, integrated over the frame's pixels; between them
            as the stamp tells it.

        Raises
        ------
        PsfError
            The stamp is no image of one star, or ``scale`` is not positive.
        """
        array = np.asarray(stamp, dtype=np.float64)
        if array.ndim != _STAMP or array.size == 0:
            raise PsfError("a PSF stamp is a 2-D image", received=array.shape)
        if not scale > 0:
            raise PsfError("pixel scale of a PSF must be positive", received=scale)
        (image,) = repaired_stamps([array])
        return cls.from_fine(sampled_stamp(image, core_centroid(image), scale))

    @classmethod
    def from_model(
        cls, model: Any, *, pixel_scale_arcsec: float | None = None, size: int = 51
    ) -> Psf:
        """Return a PSF from a GalSim object or a photutils PSF model.

        Parameters
        ----------
        model : galsim.GSObject or astropy.modeling.Fittable2DModel
            GalSim profiles are drawn with ``pixel_scale_arcsec``; photutils models (``ImagePSF``,
            ``GriddedPSFModel``, ``CircularGaussianPRF``, ...) are evaluated on pixels.
        pixel_scale_arcsec : float, optional
            Pixel of the frame in arcsec; GalSim only.
        size : int
            Side of the stamp in pixels; odd.

        Returns
        -------
        Psf
            A grid of stamps for a ``GriddedPSFModel``, else one stamp.

        Raises
        ------
        PsfError
            Unknown object, or no pixel scale for a GalSim profile.
        """
        fine, nodes = fine_of_model(model, pixel_scale_arcsec=pixel_scale_arcsec, size=size)
        return cls.from_fine(fine, nodes)
