"""Beams of maps in the far infrared: their solid angle, and values of a map in mJy/beam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from astropy import units as u

from astroclean.core.image.text_unit import is_understood
from astroclean.errors import UnitError

if TYPE_CHECKING:
    from astroclean.core.psf.psf import Psf

__all__ = ["MJY_PER_BEAM", "beam_area", "flux_unit_per_beam"]

MJY_PER_BEAM = u.mJy / u.beam
"""A point source of S mJy has a peak of S in this unit."""
_UNDERSTOOD = "Jy/pix, MJy/sr, Jy/beam, or what can be converted to one of them"


def beam_area(psf: Psf, pixel_scale: float) -> float:
    """Return the solid angle of a beam: what its peak must be multiplied with to give its flux.

    Parameters
    ----------
    psf : Psf
        On pixels of this size. Where it varies over the frame, the mean of its stamps counts.
    pixel_scale : float
        Side of a pixel in arcsec.

    Returns
    -------
    float
        arcsec squared, with the pixel's own width: a Gaussian beam of three pixels is 5 % larger
        than the formula of a Gaussian says.
    """
    mean = psf.stamps.mean(axis=0)
    ky, kx = mean.shape
    return float(mean.sum() / mean[ky // 2, kx // 2]) * pixel_scale**2


def flux_unit_per_beam(unit: Any, psf: Psf, pixel_scale: float) -> float:
    """Return the factor that brings values of a map to mJy/beam.

    Parameters
    ----------
    unit : astropy unit
        Of the map: flux density per pixel, per solid angle or per beam.
    psf : Psf
        The beam, on pixels of the map.
    pixel_scale : float
        Side of a pixel in arcsec.

    Returns
    -------
    float

    Raises
    ------
    UnitError
        The unit is none of these. Flux density alone is refused: it may be meant per beam or per
        pixel.
    """
    area = beam_area(psf, pixel_scale)
    if is_understood(unit):
        # Values per unit, as flux density in one unit of area; and how many of it a beam has.
        for per, count in ((u.beam, 1.0), (u.pix, area / pixel_scale**2), (u.arcsec**2, area)):
            try:
                return float((1 * unit * per).to(u.mJy).value) * count
            except u.UnitConversionError:
                continue
    raise UnitError(
        f"values must be flux density per beam, pixel or solid angle: {_UNDERSTOOD}",
        received=repr(str(unit)),
        remedy="State it: `--set instrument.unit=Jy/beam`.",
    )
