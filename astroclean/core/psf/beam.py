"""Beams of maps in the far infrared: their solid angle, and values of a map in mJy/beam."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u

from astroclean.core.image.text_unit import is_understood
from astroclean.core.psf.models import PIXEL_FWHM
from astroclean.errors import AstrocleanWarning, SuspectWarning, UnitError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from astroclean.core.image.frame import Frame
    from astroclean.core.image.grid import Grid
    from astroclean.core.psf.psf import Psf

__all__ = [
    "BEAM_KEYWORDS",
    "MJY_PER_BEAM",
    "TARGET_FWHM_ARCSEC",
    "TARGET_PIXEL_ARCSEC",
    "beam_area",
    "beam_cards",
    "beam_of_values",
    "flux_unit_per_beam",
    "header_beam",
    "is_per_beam",
    "tell_of_beam",
]

TARGET_FWHM_ARCSEC = 7.9
"""FWHM of the Gaussian that super-resolvers of far-infrared maps aim at: SCUBA-2 at 450 um
(Dempsey et al. 2013, MNRAS 430, 2534)."""
TARGET_PIXEL_ARCSEC = 1.0
"""Side of their pixels."""
BEAM_KEYWORDS = ("BMAJ", "BMIN", "BPA")
"""Cards of the beam that values per beam refer to: FWHMs and position angle in degrees."""

MJY_PER_BEAM = u.mJy / u.beam
"""A point source of S mJy has a peak of S in this unit."""
_LIKE_A_GAUSSIAN = 0.03
"""Of the peak: where a PSF differs by more, BMAJ would tell a beam that it is not."""
_UNLIKE = 1.15
"""Factor by which the PSF may differ from the beam of the header."""
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
        remedy="State which it is, as the map's documentation says: "
        "`--set instrument.unit=Jy/beam`, `Jy/pix` or `MJy/sr`. Another gives wrong fluxes.",
    )


def beam_cards(unit: Any, psf: Psf | None, grid: Grid | None) -> dict[str, float]:
    """Return the cards that tell the beam of values per beam.

    Parameters
    ----------
    unit : astropy unit or None
        Of the values.
    psf : Psf or None
        Of the image.
    grid : Grid or None
        Its pixels.

    Returns
    -------
    dict of str to float
        ``BMAJ`` and ``BMIN`` of the round Gaussian with the solid angle of the beam, so that sums
        of pixels give the flux, and ``BPA``. Empty where values are not per beam, the pixels have
        no celestial WCS, or the PSF is no round Gaussian, the same everywhere.
    """
    scale = None if grid is None else grid.pixel_scale
    if psf is None or scale is None or not psf.is_constant or not is_per_beam(unit):
        return {}
    fwhm = float(np.sqrt(beam_area(psf, 1.0) * 4 * np.log(2) / np.pi))
    stamp = psf.stamps[0] / psf.stamps[0].max()
    y, x = (np.arange(side) - side // 2 for side in stamp.shape)
    gaussian = np.exp(-4 * np.log(2) / fwhm**2 * (y[:, np.newaxis] ** 2 + x**2))
    if np.abs(stamp - gaussian).max() > _LIKE_A_GAUSSIAN:
        return {}
    # A PSF that was kept on disk is scaled to sum 1 again: its last digits are no part of the beam.
    width = float(f"{fwhm * scale / 3600:.8g}")
    return dict(zip(BEAM_KEYWORDS, (width, width, 0.0), strict=True))


def header_beam(meta: Mapping[str, Any]) -> dict[str, float]:
    """Return the beam that a header tells.

    Parameters
    ----------
    meta : mapping
        Header of a frame.

    Returns
    -------
    dict of str to float
        ``BMAJ`` and ``BMIN``, and ``BPA`` where it is told, in degrees; empty where one of the axes
        is not told or is no length.
    """
    told = {}
    for keyword in BEAM_KEYWORDS:
        value = meta.get(keyword)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            continue
        if math.isfinite(value):
            told[keyword] = float(value)
    return told if min(told.get("BMAJ", 0), told.get("BMIN", 0)) > 0 else {}


def beam_of_values(frame: Frame) -> dict[str, float]:
    """Return the cards of the beam that the values of a frame refer to.

    A sharper image whose sums are those of the frame refers to the same beam, however narrow its
    own PSF is.

    Parameters
    ----------
    frame : Frame
        With header, or PSF and WCS.

    Returns
    -------
    dict of str to float
        That of the header, else that of the PSF, as `beam_cards` gives it. Empty where values are
        not per beam.
    """
    if not is_per_beam(frame.unit):
        return {}
    from astroclean.core.image.grid import Grid  # noqa: PLC0415 - needs what needs this

    return header_beam(frame.meta) or beam_cards(frame.unit, frame.psf, Grid.from_frame(frame))


def tell_of_beam(frame: Frame, psf: Psf) -> None:
    """Warn where the beam of the header is not the PSF that is given for a frame.

    Parameters
    ----------
    frame : Frame
        With its header, as it was read.
    psf : Psf
        That stages go by.

    Warns
    -----
    SuspectWarning
        Values are per beam, and the beam is another by more than 15 %.
    AstrocleanWarning
        So of other values, which do not depend on it; and where the beam is longer than wide, by
        15 % more than the PSF.
    """
    beam, scale = header_beam(frame.meta), frame.detector.pixel_scale
    if not beam or not scale:
        return
    width = 3600 * math.sqrt(beam["BMAJ"] * beam["BMIN"])
    # Before the pixel's own width or with it: headers tell either.
    own, wide = width / scale, math.hypot(width / scale, PIXEL_FWHM)
    axes = f"{3600 * beam['BMAJ']:.4g} x {3600 * beam['BMIN']:.4g} arcsec (BMAJ, BMIN)"
    given = f"the PSF that is given has {psf.fwhm_pixels * scale:.4g}"
    if own / _UNLIKE <= psf.fwhm_pixels <= wide * _UNLIKE:
        _tell_of_elongation(frame, psf, beam["BMAJ"] / beam["BMIN"], axes)
        return
    per_beam = is_per_beam(frame.unit)
    then = "Fluxes of pixels go by the header, what is fitted or sharpened by the PSF"
    warnings.warn(
        f"{frame.frame_id}: the header tells a beam of {axes}, {given} on the pixels. "
        f"{then if per_beam else 'The PSF counts'}.",
        SuspectWarning if per_beam else AstrocleanWarning,
        stacklevel=2,
    )


def _tell_of_elongation(frame: Frame, psf: Psf, told: float, axes: str) -> None:
    own = float(np.mean([_elongation(stamp) for stamp in psf.stamps]))
    if told <= own * _UNLIKE:
        return
    warnings.warn(
        f"{frame.frame_id}: the header tells a beam of {axes}, longer than wide by {told:.3g}; the "
        f"PSF that is given is so by {own:.3g}: shapes of sources, and what is fitted or sharpened "
        "by it, are those of a rounder beam. Give the beam as an image: [psf] file.",
        AstrocleanWarning,
        stacklevel=3,
    )


def _elongation(stamp: NDArray[np.float64]) -> float:
    """Return how many times longer than wide a PSF is, by its moments above a quarter maximum."""
    weights = np.where(stamp > stamp.max() / 4, stamp, 0)
    places = np.indices(stamp.shape).reshape(2, -1)
    short, long = np.linalg.eigvalsh(np.cov(places, aweights=weights.ravel()))
    # A PSF of one pixel has no shape.
    return float(np.sqrt(long / short)) if short > 0 else 1.0


def is_per_beam(unit: Any) -> bool:
    """Return whether values are of one beam."""
    if unit is None or not is_understood(unit):
        return False
    return any(b == u.beam and p == -1 for b, p in zip(unit.bases, unit.powers, strict=True))
