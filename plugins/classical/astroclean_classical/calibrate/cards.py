"""Cards of a calibrated image: what was done, in the words of IRAF; none of the raw one's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from astroclean.core.image.sections import parse_section
from astroclean_classical.calibrate.selection import (
    CAMERA_CARDS,
    HDU_CARD,
    TEMPERATURE_CARDS,
    hdu_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astroclean_classical.calibrate.masters import Master
    from astroclean_classical.calibrate.parts import Part
    from astroclean_classical.calibrate.raw import RawFrame
    from astroclean_classical.calibrate.sorting import Group

__all__ = ["cards_of", "level_cards", "master_header"]

_OF_THE_RAW_FORM = ("BIASSEC", "TRIMSEC", "DATASEC", "AMPSEC", "BLANK")
_KEPT = ("ORIGIN", "TELESCOP", *CAMERA_CARDS, "CCDSUM", "BINNING", "XBINNING", "YBINNING")
_KEPT_BINNING = ("CCDBIN1", "CCDBIN2", *TEMPERATURE_CARDS)
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


def master_header(group: Group, parts: Sequence[Part], used: Mapping[str, str]) -> fits.Header:
    """Return the header of a master, from which a stage knows what it is for.

    Parameters
    ----------
    group : Group
        What the frames have in common.
    parts : sequence of Part
        The frames, in order.
    used : mapping of str to str
        Card to the name of the master that was taken off.
    """
    meta, header = parts[0].meta, fits.Header()
    for keyword in (*_KEPT, *_KEPT_BINNING):
        if keyword in meta:
            header[keyword] = meta[keyword]
    header["IMAGETYP"] = (group.type.upper(), "master frame")
    times = [part.exposure for part in parts if part.exposure is not None]
    if group.type != "bias" and times:
        header["EXPTIME"] = (float(np.mean(times)), "[s] exposure time, mean of the frames")
    if group.filter:
        header["FILTER"] = group.filter
    header["GAIN"] = (group.setup.gain, "[electron/adu] gain of the frames")
    header[HDU_CARD] = (hdu_of(meta), "HDU of the raw files that it is for")
    for keyword, value in parts[0].cards.items():
        header[keyword] = value
    for keyword, name in used.items():
        header[keyword] = (name, "taken off each frame")
    if group.type == "flat":
        level = float(np.mean([part.level for part in parts]))
        header["FLATLEV"] = (round(level, 3), "mean level of the frames, now 1")
    header["NCOMBINE"] = (len(parts), "frames that were combined")
    for number, part in enumerate(parts[:999], start=1):
        header[f"IMCMB{number:03d}"] = _short(part.name)
    return header
