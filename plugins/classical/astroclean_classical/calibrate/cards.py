"""Cards of a calibrated image: what was done, in the words of IRAF; none of the raw one's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from astroclean.core.image.sections import parse_section

if TYPE_CHECKING:
    from astroclean_classical.calibrate.masters import Master
    from astroclean_classical.calibrate.raw import RawFrame

__all__ = ["cards_of", "level_cards"]

_OF_THE_RAW_FORM = ("BIASSEC", "TRIMSEC", "DATASEC", "AMPSEC", "BLANK")
_ON_THE_CHIP = ("CCDSEC", "DETSEC")
"""They tell where ``DATASEC`` lies on the chip; of other pixels they say nothing."""


def cards_of(
    raw: RawFrame, *, bias: Master | None, dark: Master | None, flat: Master | None
) -> dict[str, Any]:
    """Return the cards that change, as `Calibration.cards` takes them.

    Parameters
    ----------
    raw : RawFrame
        What was calibrated.
    bias, dark, flat : Master or None
        What was used.
    """
    ny, nx = raw.sections.trimmed
    meta = raw.frame.meta
    cards: dict[str, Any] = {key: None for key in _OF_THE_RAW_FORM if key in meta}
    if parse_section(meta.get("DATASEC", "")) != raw.sections.trim:
        cards |= {
            key: None for key in _ON_THE_CHIP if key in meta and nx * ny != raw.frame.data.size
        }
    cards["DATASEC"] = (f"[1:{nx},1:{ny}]", "pixels with data")
    cards |= level_cards(raw)
    for keyword, master, what in (
        ("ZEROCOR", bias, "bias that was taken off"),
        ("DARKCOR", dark, "dark that was taken off"),
        ("FLATCOR", flat, "flat that it was divided by"),
    ):
        if master is not None:
            cards[keyword] = (_short(master.name), what)
    cards["GAINCOR"] = (round(raw.gain, 9), "electrons a data number, applied")
    cards["CCDPROC"] = ("astroclean, ccdproc", "calibrated by")
    return cards


def level_cards(raw: RawFrame) -> dict[str, Any]:
    """Return the cards of overscan and trim, where these were done."""
    cards: dict[str, Any] = {}
    if raw.is_levelled:
        text = f"{raw.sections.overscan_text} median {raw.level:.6g}"
        cards["OVERSCAN"] = (text, "section, and its level")
    if raw.sections.trimmed != raw.sections.shape:
        cards["TRIM"] = (raw.sections.trim_text, "section that is left")
    return cards


def _short(name: str) -> str:
    """Return a name that fits a card, in ASCII."""
    return name.encode("ascii", "replace").decode("ascii")[-60:]
