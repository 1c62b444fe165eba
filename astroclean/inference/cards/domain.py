"""Compare a frame with what a network was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astropy import units as u

from astroclean.errors import UnitError

if TYPE_CHECKING:
    from astroclean.core.image.frame import Frame
    from astroclean.inference.cards.card import NetworkCard

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
    found = card.domain.differences(frame, of="trained on")
    if not _has_unit(card, frame):
        found += (f"unit {frame.unit}, trained on {card.unit}",)
    return found


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
