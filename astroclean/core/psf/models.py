"""Images of point sources at quarters of a pixel, from a width or from a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.length import Length
from astroclean.core.psf.stamp import FINER, FWHM_PER_SIGMA
from astroclean.errors import PsfError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PIXEL_FWHM", "fine_gaussian", "fine_of_model", "gaussian_of_width"]

_NARROWEST = 0.5
PIXEL_FWHM = FWHM_PER_SIGMA / 12**0.5
"""FWHM in pixels of the Gaussian that is as wide as a pixel: variances add."""


def fine_gaussian(fwhm_pixels: float) -> NDArray[np.float64]:
    """Return a circular Gaussian, integrated over pixels, out to five standard deviations.

    Parameters
    ----------
    fwhm_pixels : float
        Full width at half maximum in pixels, at least 0.5, of the light that falls on them.

    Returns
    -------
    (FINER (k - 1) + 1, FINER (k - 1) + 1) float64
        As of `astroclean.core.psf.psf.Psf.from_fine`.

    Raises
    ------
    PsfError
        The width is not a number of 0.5 pixels or more.
    """
    if not (np.isfinite(fwhm_pixels) and fwhm_pixels >= _NARROWEST):
        raise PsfError(f"FWHM must be at least {_NARROWEST} pixels", received=fwhm_pixels)
    from scipy.special import erf  # noqa: PLC0415 - slow to import

    sigma = fwhm_pixels / FWHM_PER_SIGMA
    half = int(np.ceil(5 * sigma))
    steps = np.arange(-half * FINER, half * FINER + 1) / FINER
    ends = (steps + 0.5, steps - 0.5)
    high, low = (erf(end / (sigma * np.sqrt(2))) for end in ends)
    return np.outer(high - low, high - low)


def gaussian_of_width(
    fwhm: Any, pixel_scale_arcsec: float | None, includes_pixel: bool
) -> NDArray[np.float64]:
    """Return `fine_gaussian` of a width with its unit.

    Parameters
    ----------
    fwhm, pixel_scale_arcsec, includes_pixel
        As of `astroclean.core.psf.psf.Psf.from_fwhm`.

    Raises
    ------
    PsfError
        The width is too small, has no such unit, or an angle comes without pixel scale.
    """
    try:
        width = Length.parsed(fwhm)
    except ValueError as error:
        raise PsfError(f"fwhm {error}", received=repr(fwhm)) from error
    try:
        pixels = width.to("pixel", pixel_scale_arcsec)
    except ValueError as error:
        raise PsfError(
            f"fwhm {error}",
            received=repr(fwhm),
            remedy="Give `--set instrument.pixel_scale=...` in arcsec, or the width in pixels.",
        ) from error
    smallest = np.hypot(_NARROWEST, PIXEL_FWHM) if includes_pixel else _NARROWEST
    if not pixels >= smallest:
        told = f"{pixels:.3g} pixels"
        if width.unit == "arcsec":
            told = f"{fwhm}, which are {told} of {pixel_scale_arcsec:.4g} arcsec"
        kind = ", the pixel included" if includes_pixel else ""
        raise PsfError(
            f"FWHM must be at least {smallest:.2g} pixels{kind}",
            received=told,
            remedy="Check the width, and the pixel scale of the frame (`astroclean inspect`).",
        )
    return fine_gaussian(float(np.sqrt(pixels**2 - PIXEL_FWHM**2)) if includes_pixel else pixels)


def fine_of_model(
    model: Any, *, pixel_scale_arcsec: float | None, size: int
) -> tuple[NDArray[np.float64], Any]:
    """Return the images of a model of GalSim or photutils, and their positions (x, y), or None.

    Parameters
    ----------
    model, pixel_scale_arcsec, size
        As of `astroclean.core.psf.psf.Psf.from_model`.

    Raises
    ------
    PsfError
        Unknown object, or no pixel scale for a GalSim profile.
    """
    if hasattr(model, "drawImage"):
        if pixel_scale_arcsec is None:
            raise PsfError("a GalSim profile needs the pixel scale of the frame in arcsec")
        import galsim  # noqa: PLC0415 - optional extra; the model is one of its objects

        seen = galsim.Convolve(model, galsim.Pixel(pixel_scale_arcsec))
        side, step = FINER * (size - 1) + 1, pixel_scale_arcsec / FINER
        drawn = seen.drawImage(nx=side, ny=side, scale=step, method="no_pixel")
        return drawn.array, None
    if not hasattr(model, "x_0"):
        raise PsfError("not a GalSim or photutils PSF", received=type(model).__name__)
    half = size // 2
    steps = np.arange(-half * FINER, half * FINER + 1) / FINER
    y, x = np.meshgrid(steps, steps, indexing="ij")
    nodes = getattr(model, "grid_xypos", None)
    if nodes is None:
        placed = model.copy()
        placed.x_0, placed.y_0 = 0.0, 0.0
        return placed(x, y), None
    fine = [model.evaluate(x + px, y + py, 1.0, px, py) for px, py in nodes]
    return np.stack(fine), nodes
