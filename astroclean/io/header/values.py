"""Units and detector values of a frame: header, instrument file, or the user's own setting."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from astroclean.core.image.detector import DETECTOR_KEYWORDS
from astroclean.core.image.text_unit import TextUnit
from astroclean.core.length import Length
from astroclean.errors import InstrumentError, UnitError
from astroclean.io.header.cards import CardText, card_text
from astroclean.io.header.header_values import (
    BASE,
    Context,
    Remarked,
    Resolved,
    header_value,
    keys_of,
)
from astroclean.io.header.units import parsed_unit
from astroclean.io.header.wcs_repair import has_steps, repaired_wcs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import astropy.units as u
    from astropy.io.fits import HDUList, Header

    from astroclean.io.frames.instruments import Instrument

__all__ = ["UNIT_KEYWORDS", "Resolved", "frame_unit", "frame_wcs", "resolve_detector"]

_ARCSEC_PER_DEG = 3600.0
_LENGTHS = ("pixel_scale", "psf_fwhm")
UNIT_KEYWORDS = ("BUNIT",)
"""Where an instrument has no rule."""
_SCALE_CARDS = tuple(key for key in BASE["pixel_scale"] if key.rank > 1)
"""By which a WCS is checked where the rules of an instrument name no card."""
_MOST_APART = 1.1
"""Ratio of two pixel scales beyond which they contradict each other."""


def frame_unit(
    instrument: Instrument,
    header: Header,
    overrides: Mapping[str, Any],
    *,
    where: str,
    remarked: Remarked | None = None,
) -> tuple[u.UnitBase, str]:
    """Return the unit of the pixel values and where it came from.

    Parameters
    ----------
    instrument : Instrument
        Its ``unit`` rule: keywords, aliases, default.
    header : Header
        Merged header of the science HDU.
    overrides : mapping
        The user's own settings; ``unit`` wins over everything.
    where : str
        File and HDU, for messages.
    remarked : Remarked, optional
        Gains what is contradictory.

    Returns
    -------
    (UnitBase, str)
        Unit and origin. A text of the header that is not understood is kept: a
        :class:`~astroclean.core.image.text_unit.TextUnit`.

    Raises
    ------
    UnitError
        No unit, or a setting that is not understood.
    """
    rule = instrument.rule("unit", header)
    own = overrides.get("unit")
    cards = [card_text(header, keyword) for keyword in rule.keywords or UNIT_KEYWORDS]
    told = [card for card in cards if card is not None]
    known = Resolved(str(told[0].value), f"header {told[0].keyword}") if told else None
    if own is None and remarked is not None:
        _compare_units(told, rule.aliases, remarked)
    if own is not None:
        known = Resolved(str(own), "setting instrument.unit")
    elif known is None and rule.default is not None:
        known = Resolved(str(rule.default), f"assumed for instrument '{instrument.name}'")
    if known is None:
        raise UnitError(
            "the unit of the pixel values is not given",
            where=where,
            remedy="Give it: `--set instrument.unit=adu` (or electron, MJy/sr, ...).",
        )
    unit = parsed_unit(str(known.value), rule.aliases)
    if unit is None and own is not None:
        raise UnitError(
            "unit of the pixel values is not understood",
            where=where,
            received=f"{known.value!r}, {known.origin}",
            remedy="Give one that is: `--set instrument.unit=adu`.",
        )
    return TextUnit(str(known.value).strip()) if unit is None else unit, known.origin


def _compare_units(
    cards: Sequence[CardText], aliases: Mapping[str, str], remarked: Remarked
) -> None:
    """Say where a card tells another unit than the first, whose unit is taken."""
    units = [parsed_unit(str(card.value), aliases) for card in cards]
    others = [
        card.quoted
        for card, unit in zip(cards, units, strict=True)
        if unit is not None and units[0] is not None and unit != units[0]
    ]
    if others:
        remarked.contradictions.append(
            f"{cards[0].quoted} is taken for the unit of the pixels: {', '.join(others)} "
            "says another"
        )


def resolve_detector(
    instrument: Instrument,
    header: Header,
    overrides: Mapping[str, Any],
    wcs: WCS | None,
    *,
    unit: u.UnitBase | None = None,
    remarked: Remarked | None = None,
) -> dict[str, Resolved]:
    """Return the detector values that are known.

    Parameters
    ----------
    instrument, header, overrides
        As for :func:`frame_unit`. Where the instrument has no rule, the keywords in common use are
        looked for (`astroclean.io.header.header_values.BASE`).
    wcs : astropy.wcs.WCS or None
        Tells the pixel scale before any card.
    unit : UnitBase, optional
        Of the pixels; a saturation level in another one is converted.
    remarked : Remarked, optional
        Gains what is odd, and what is contradictory.

    Returns
    -------
    dict of str to Resolved
        Field of :class:`~astroclean.core.image.detector.Detector` to value; unknown ones are left
        out.
    """
    remarked = Remarked() if remarked is None else remarked
    found: dict[str, Resolved] = {"instrument": Resolved(instrument.name, "instrument")}
    # In this order: read noise and saturation may need the gain, a width the pixel scale.
    for name in DETECTOR_KEYWORDS:
        if name == "instrument":
            continue
        context = Context(unit, _value(found, "gain"), _value(found, "pixel_scale"))
        if overrides.get(name) is not None:
            found[name] = _setting(name, overrides[name], context.pixel_scale)
            continue
        rule = instrument.rule(name, header)
        keys = keys_of(rule.keywords)
        if name not in instrument.rules_for(header):
            keys = BASE[name]
        known = header_value(name, keys, header, context, remarked)
        if name == "pixel_scale":
            card = known or header_value(name, _SCALE_CARDS, header, context, Remarked())
            known = _best_scale(known, wcs, header, remarked)
        if known is None and rule.default is not None:
            known = Resolved(rule.default, f"instrument '{instrument.name}'")
        if name == "pixel_scale":
            _compare_scales(card, known, remarked)
        if known is not None:
            found[name] = known
    return found


def _value(found: Mapping[str, Resolved], name: str) -> float | None:
    return None if name not in found else float(found[name].value)


def _setting(name: str, value: Any, pixel_scale: float | None) -> Resolved:
    """Return what the user says; a length with its unit in arcsec.

    Raises
    ------
    InstrumentError
        It is no number, or one that cannot be; or a width in pixels whose scale is not known.
    """
    if name == "filter":
        return Resolved(str(value), f"setting instrument.{name}")
    is_length = name in _LENGTHS and (isinstance(value, (str, Length)) or hasattr(value, "unit"))
    try:
        plain = _arcsec(name, value, pixel_scale) if is_length else _number(value)
        _refuse_impossible(name, plain)
    except ValueError as error:
        raise InstrumentError(
            str(error),
            where=f"instrument.{name}",
            received=repr(value),
            remedy="Give `--set instrument.pixel_scale=...` in arcsec, or the width in arcsec."
            if is_length and name == "psf_fwhm"
            else None,
        ) from error
    return Resolved(plain, f"setting instrument.{name}")


def _compare_scales(card: Resolved | None, taken: Resolved | None, remarked: Remarked) -> None:
    """Say where a card tells another pixel scale than the one that is taken."""
    if card is None or taken is None or "/" in card.origin:
        return
    ratio = float(card.value) / float(taken.value)
    if max(ratio, 1 / ratio) > _MOST_APART:
        by = "the WCS" if taken.origin == "WCS" else taken.origin
        remarked.contradictions.append(
            f"{card.origin.removeprefix('header ')} tells a pixel of {card.value:.4g} arcsec, "
            f"{by} {taken.value:.4g}; that of {by} is taken"
        )


def _arcsec(name: str, value: Any, pixel_scale: float | None) -> float:
    return Length.parsed(value, only="arcsec" if name == "pixel_scale" else None).to(
        "arcsec", pixel_scale
    )


def _number(value: Any) -> float:
    """Return a number as written: text is none, nor is a truth value."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
        raise ValueError("must be a number")  # noqa: TRY004 - said where the setting is known
    plain = float(value)
    if not math.isfinite(plain):
        raise ValueError("must be a finite number")
    return plain


def _refuse_impossible(name: str, value: float) -> None:
    """Raise ValueError for what no detector has, as a pipeline's table does."""
    zero_counts = name == "read_noise"
    if value < 0 or (value == 0 and not zero_counts):
        raise ValueError(f"must be greater than {'or equal to ' * zero_counts}0")


def _best_scale(
    known: Resolved | None, wcs: WCS | None, header: Mapping[str, Any], remarked: Remarked
) -> Resolved | None:
    """Return the scale of the WCS, unless that tells none."""
    scale = _pixel_scale(wcs)
    if scale is None:
        return known
    if not has_steps(header):
        # Without steps, a pixel is one degree to the standard, which nobody means.
        remarked.notes.append("the WCS has no steps (CD, PC or CDELT); it tells no pixel scale")
        return known
    return Resolved(scale, "WCS")


def _pixel_scale(wcs: WCS | None) -> float | None:
    if wcs is None or not wcs.has_celestial:
        return None
    scales = proj_plane_pixel_scales(wcs.celestial) * _ARCSEC_PER_DEG
    scale = float(np.sqrt(scales[0] * scales[1]))
    return scale if np.isfinite(scale) and scale > 0 else None


def frame_wcs(
    header: Header, hdus: HDUList, notes: list[str], contradictions: list[str] | None = None
) -> WCS | None:
    """Return the celestial or other 2-D WCS of a header, or None where there is none.

    Parameters
    ----------
    header : Header
        Header of the science HDU.
    hdus : HDUList
        The file, for lookup tables.
    notes : list of str
        A WCS that cannot be understood is named here; the frame then has none.
    contradictions : list of str, optional
        Gains what contradicts itself in the cards.

    Returns
    -------
    astropy.wcs.WCS or None
        Two axes.
    """
    if not any(str(header.get(key, "")).strip() for key in ("CTYPE1", "CTYPE2")):
        return None
    remarked = Remarked(notes, [] if contradictions is None else contradictions)
    repaired = repaired_wcs(header, remarked)
    if repaired is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # repairs of old headers; the header itself is kept
        try:
            wcs = WCS(repaired, fobj=hdus, naxis=2)
            wcs.wcs.set()
            if wcs.pixel_shape is not None:
                # Of a cube, astropy keeps three lengths, by which it then slices wrongly.
                wcs.pixel_shape = wcs.pixel_shape[:2]
        # WCSLIB and astropy raise many types on malformed headers.
        except Exception as error:  # noqa: BLE001
            reason = str(error).strip().splitlines()
            notes.append(f"WCS not understood: {reason[-1] if reason else type(error).__name__}")
            return None
        finite = np.isfinite([*wcs.pixel_scale_matrix.flat, *wcs.wcs.crval]).all()
    if not finite:
        notes.append("WCS not understood: steps or reference values are not finite")
    return wcs if finite else None
