"""Compare a frame with what a network was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astropy import units as u

from astroclean.core.detector import Detector
from astroclean.errors import UnitError

if TYPE_CHECKING:
    from astroclean.core.frame import Frame
    from astroclean.inference.card import NetworkCard

__all__ = ["check_domain", "check_unit"]


def check_domain(card: NetworkCard, frame: Frame) -> tuple[str, ...]:
    """Return how a frame differs from the training domain of a network.

    Parameters
    ----------
    card : NetworkCard
        The network.
    frame : Frame
        The frame. What it does not tell (instrument, pixel scale, PSF) is not compared.

    Returns
    -------
    tuple of str
        One clause for each difference, for the report; empty where there is none.
    """
    domain = card.domain
    detector = Detector.of(frame.meta)
    found = []
    if domain.instruments and detector.instrument and detector.instrument not in domain.instruments:
        trained = ", ".join(domain.instruments)
        found.append(f"instrument {detector.instrument}, trained on {trained}")
    found += _outside("pixel scale", detector.pixel_scale, domain.pixel_scale, "arcsec")
    width = None if frame.psf is None else frame.psf.fwhm_pixels
    found += _outside("PSF width", width, domain.fwhm_pixels, "pixels")
    combined = frame.meta.get("NCOMBINE")
    if domain.coadd is not None and combined is not None and (int(combined) > 1) != domain.coadd:
        trained = "coadds" if domain.coadd else "single exposures"
        found.append(f"{combined} exposures combined, trained on {trained}")
    if not _has_unit(card, frame):
        found.append(f"unit {frame.unit}, trained on {card.unit}")
    return tuple(found)


def check_unit(card: NetworkCard, frame: Frame) -> None:
    """Raise where the frame has not the unit that a network needs.

    Parameters
    ----------
    card : NetworkCard
        The network.
    frame : Frame
        The frame.

    Raises
    ------
    UnitError
        Another unit. Nothing is converted in silence.
    """
    if not _has_unit(card, frame):
        raise UnitError(
            f"network '{card.name}' needs pixels in {card.unit}",
            where=frame.frame_id,
            received=str(frame.unit),
            remedy="Convert the frame, or use a network that takes this unit.",
        )


def _has_unit(card: NetworkCard, frame: Frame) -> bool:
    return card.unit == "any" or bool(u.Unit(card.unit) == frame.unit)


def _outside(
    what: str, value: float | None, limits: tuple[float, float] | None, unit: str
) -> list[str]:
    if value is None or limits is None or limits[0] <= value <= limits[1]:
        return []
    return [f"{what} {value:.3g} {unit}, trained on {limits[0]:g} to {limits[1]:g}"]
