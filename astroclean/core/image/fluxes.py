"""What a sum of pixels is: the unit of fluxes, and the area by which it is multiplied."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import astropy.units as u

from astroclean.core.image.text_unit import is_logarithmic, is_understood
from astroclean.core.psf.beam import header_beam
from astroclean.errors import AstrocleanWarning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astroclean.core.image.frame import Frame

__all__ = ["FluxScale", "flux_scale"]

_BEAM = math.pi / (4 * math.log(2))
"""Area of a Gaussian beam over the product of its FWHMs."""
_PIXEL_AREA = "PIXAR_SR"
"""Card of JWST and others: the mean area of a pixel in sr."""


class FluxScale(NamedTuple):
    """What makes a flux of a sum of pixels."""

    factor: float
    """By which the sum is multiplied."""
    unit: Any
    """Of the product."""


def flux_scale(frame: Frame) -> FluxScale:
    """Return what makes fluxes of sums of pixels of a frame.

    Surface brightness, per solid angle or beam, is multiplied by the solid angle of a pixel
    (``PIXAR_SR``, else the pixel scale squared), or by its part of the beam (``BMAJ``, ``BMIN``).
    Values of a pixel are summed as they are.

    Parameters
    ----------
    frame : Frame
        Its unit and header count.

    Returns
    -------
    FluxScale
        ``Jy`` for MJy/sr and Jy/beam, ``electron`` for electrons. Logarithmic units stay as they
        are, with the factor 1.

    Warns
    -----
    AstrocleanWarning
        The area is not known; the factor is then 1, and the unit that of the pixels times pixel.
    """
    unit = frame.unit if frame.unit is not None else u.dimensionless_unscaled
    # Sums of magnitudes are no fluxes, which the reader tells; an area would not make them any.
    if not is_understood(unit) or is_logarithmic(unit):
        return FluxScale(1.0, unit)
    powers = (
        {}
        if isinstance(unit, u.IrreducibleUnit)
        else dict(zip(unit.bases, unit.powers, strict=True))
    )
    if powers.get(u.pix) == -1:
        return FluxScale(1.0, unit * u.pix)
    area = _pixel_area(frame)
    missing = "the pixel scale is not known"
    if powers.get(u.beam) == -1:
        beam = _beam_area(frame.meta)
        if area is not None and beam is not None:
            return FluxScale(area / beam, unit * u.beam)
        missing = missing if area is None else "the header tells no beam (BMAJ, BMIN)"
    else:
        angle = _solid_angle(powers)
        if angle is None:
            return FluxScale(1.0, unit)
        if area is not None:
            return _in_jansky(FluxScale((area * u.sr).to_value(angle), unit * angle))
    warnings.warn(
        f"{frame.frame_id}: fluxes are sums of pixels in {unit}, in {unit * u.pix}: {missing}.",
        AstrocleanWarning,
        stacklevel=2,
    )
    return FluxScale(1.0, unit * u.pix)


def _solid_angle(powers: Mapping[Any, float]) -> Any:
    """Return the solid angle by which a unit is divided, or None."""
    for base, power in powers.items():
        if base == u.sr and power == -1:
            return base
        if power == -2 and base.is_equivalent(u.rad):  # noqa: PLR2004
            return base**2
    return None


def _in_jansky(scale: FluxScale) -> FluxScale:
    if not scale.unit.is_equivalent(u.Jy):
        return scale
    return FluxScale(scale.factor * scale.unit.to(u.Jy), u.Jy)


def _number(meta: Mapping[str, Any], keyword: str) -> float | None:
    value = meta.get(keyword)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return float(value) if math.isfinite(value) and value > 0 else None


def _pixel_area(frame: Frame) -> float | None:
    """Return the solid angle of a pixel in sr."""
    told = _number(frame.meta, _PIXEL_AREA)
    scale = frame.detector.pixel_scale
    if scale is None:
        return told
    area = float(((scale * u.arcsec) ** 2).to_value(u.sr))
    # The card is left from before where a frame was sampled anew.
    return told if told is not None and 0.8 < told / area < 1.25 else area  # noqa: PLR2004


def _beam_area(meta: Mapping[str, Any]) -> float | None:
    """Return the solid angle of the beam in sr."""
    beam = header_beam(meta)
    return _BEAM * beam["BMAJ"] * beam["BMIN"] * math.radians(1) ** 2 if beam else None
