"""Detector values that headers tell: one table of keywords and units for all instruments.

Cards contradict each other. What a comment says goes before what a keyword usually means, and that
before what may be something else; two that are equally good and differ tell nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np

from astroclean.io.header.cards import CardText, card_text, comment_unit, number_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["BASE", "Context", "Key", "Remarked", "Resolved", "header_value", "keys_of"]

_ARCSEC_PER_RADIAN = 206264.806


@dataclass(frozen=True)
class Resolved:
    """A value and where it came from."""

    value: Any
    origin: str


@dataclass
class Remarked:
    """What there is to say of a header: what is odd, and what is contradictory."""

    notes: list[str] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Key:
    """A keyword, and how sure it is what it means where its comment does not tell."""

    keyword: str
    """``A&B``: the mean of two cards; ``A/B``: the angle of A (um) at a distance of B (mm)."""
    rank: int = 1
    """2: defined to be the value; 1: usually; 0: taken where nothing else is told."""
    unit: str | None = None
    """Where the comment tells none; None: that of the value."""


@dataclass(frozen=True)
class Context:
    """What is known already when a value is told."""

    unit: Any = None
    """Of the pixels."""
    gain: float | None = None
    pixel_scale: float | None = None


def _keys(text: str) -> tuple[Key, ...]:
    return tuple(Key(k, int(rank)) for k, _, rank in (t.rpartition(":") for t in text.split("|")))


# ESO: CONAD is electrons per ADU, GAIN its inverse. SBFITSEXT 1.0 and MaxIm DL: EGAIN is e-/ADU;
# N.I.N.A., INDI, ASIAIR and SharpCap write the setting of the camera to GAIN.
BASE: Mapping[str, tuple[Key, ...]] = {
    "gain": (
        *_keys("GAIN:1|EGAIN:2|CCDGAIN:1|ATODGAIN:2|EPERADU:2|E_PER_DN:2|GAINA&GAINB:1"),
        *_keys("ESO DET OUT1 CONAD&ESO DET OUT2 CONAD:2|ESO DET OUT1 CONAD:2"),
        Key("ESO DET OUT1 GAIN", 1, "per electron"),
    ),
    "read_noise": _keys(
        "RDNOISE:2|READNSE:2|READNOIS:2|READNOISE:2|RON:1|ENOISE:2|RDNOISEA&RDNOISEB:1"
        "|ESO DET OUT1 RON:2"
    ),
    "saturation": _keys("SATURATE:2|SATLEVEL:2|SATURATA&SATURATB:1|SATURATI:1"),
    "exposure": _keys("EXPTIME:2|EXPOSURE:1|EXP_TIME:1|TEXPTIME:0|XPOSURE:0|ITIME:0"),
    "pixel_scale": _keys(
        "PIXSCALE:2|PIXSCAL1&PIXSCAL2:2|PIXSCAL1:2|SECPIX:2|SECPIX1&SECPIX2:2|SCALE:1"
        "|XPIXSZ/FOCALLEN:0"
    ),
    "psf_fwhm": (
        *_keys("SEEING:1|L1FWHM:1|PSF_FWHM:1"),
        Key("FWHM", 1, "unknown"),
        Key("PSFFWHM", 1, "unknown"),
        Key("BMAJ&BMIN", 0, "deg"),
    ),
    "filter": _keys("FILTER:2|FILTER1:1|FILTER2:1|FILTERS:1|FILTNAM1:1|FILTER3:1"),
}
"""Field of `Detector` to the keywords in common use, in the order of the words of messages."""

_AS_TOLD = {"gain": "electrons", "read_noise": "electrons", "exposure": "s"}
_FACTORS = {
    "exposure": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "min": 60.0, "h": 3600.0, "day": 86400.0},
    "pixel_scale": {"arcsec": 1.0, "mas": 1e-3, "arcmin": 60.0, "deg": 3600.0},
    "psf_fwhm": {"arcsec": 1.0, "mas": 1e-3, "deg": 3600.0},
}
_UNITS = {
    "gain": "electrons per data number",
    "read_noise": "electrons",
    "exposure": "s",
    "pixel_scale": "arcsec",
    "psf_fwhm": "arcsec",
}
# Smallest and largest that a value can be; beyond, it is another quantity or a placeholder.
_PLAUSIBLE = {
    "gain": (1e-4, 500.0),
    "read_noise": (0.0, 1e4),
    "exposure": (0.0, 1e7),
    "pixel_scale": (1e-5, 4e4),
    "psf_fwhm": (1e-3, 3600.0),
}
_LARGEST_PLAIN_GAIN = 30.0
"""A GAIN that says nothing of itself; gains of cameras are below 20, settings go to 600."""
_TOLERANCE = {"exposure": 0.05, "gain": 0.05, "read_noise": 0.1, "psf_fwhm": 0.25}
_ZERO_IS_A_VALUE = frozenset({"read_noise"})
_CLEAR = re.compile(r"\s*(clear|open|none|empty|blank|air|n/?a|null|-*)\s*\d*\s*", re.IGNORECASE)
_CAPTURE = re.compile(
    r"N\.?I\.?N\.?A\b|\bINDI\b|KStars|Ekos|ASI ?AIR|ASICAP|SharpCap|FireCapture|Voyager|CCDciel"
    r"|Astro ?Photography ?Tool|\bAPT\b|Sequence ?Generator|\bSGP(?:ro)?\b|AstroDMx|ToupSky|EZCAP",
    re.IGNORECASE,
)
_CMOS = re.compile(
    r"\bZWO\b|\bASI ?\d|\bQHY|ToupTek|Player ?One|SVBONY|Altair|RisingCam|Omegon", re.IGNORECASE
)


@dataclass(frozen=True)
class _Reading:
    card: CardText
    rank: int
    value: float | None = None
    """In the unit of the field; None: it tells nothing."""
    why: str = ""
    """Why not."""


def keys_of(keywords: Sequence[str]) -> tuple[Key, ...]:
    """Return the keywords of an instrument's own rule, whose order is that of trust."""
    return tuple(Key(k, 100 - n) for n, k in enumerate(keywords))


def header_value(
    name: str,
    keys: Sequence[Key],
    header: Mapping[str, Any],
    context: Context,
    remarked: Remarked,
) -> Resolved | None:
    """Return what a header tells of a value, in the unit of its field.

    Parameters
    ----------
    name : str
        Field of `Detector`.
    keys : sequence of Key
        Where it may stand.
    header : mapping
        With comments, where it is a FITS header.
    context : Context
        What is known before.
    remarked : Remarked
        Gains notes and contradictions.

    Returns
    -------
    Resolved or None
        None where nothing tells it, or the header contradicts itself.
    """
    if name == "filter":
        return _filter(keys, header)
    readings = [r for key in keys if (r := _reading(name, key, header, context)) is not None]
    usable = [r for r in readings if r.value is not None]
    senseless = [r for r in readings if r.value is None and r.why]
    if not usable:
        for reading in senseless:
            remarked.notes.append(f"{reading.card.quoted} {reading.why}; {_words(name)} not known")
        return None
    best = max(r.rank for r in usable)
    first = next(r for r in usable if r.rank == best)
    # Keywords of an instrument file stand in the order in which its author trusts them, and rank
    # 0 tells related quantities, such as a total: no contradiction where these differ.
    compared = [r for r in usable if 0 < r.rank < _OWN]
    others = [r for r in compared if r is not first and _differ(name, r, first)]
    rivals = [r for r in others if r.rank == best]
    quoted = ", ".join(r.card.quoted for r in [*others, *senseless])
    if rivals:
        remarked.contradictions.append(
            f"{first.card.quoted} and {', '.join(r.card.quoted for r in rivals)} contradict each "
            f"other; {_words(name)} not taken from the header"
        )
        return None
    if others or senseless:
        reasons = "; ".join(dict.fromkeys(r.why for r in senseless)) or "says another"
        remarked.contradictions.append(
            f"{first.card.quoted} is taken for {_words(name)}"
            f"{f' ({_UNITS[name]})' if name in _UNITS else ''}: {quoted} {reasons}"
        )
    return Resolved(first.value, f"header {first.card.keyword}")


_OWN = 50
"""Ranks of an instrument's own rule are above."""


def _words(name: str) -> str:
    return f"{name.replace('_', ' ').replace('psf fwhm', 'width of the PSF')}"


def _differ(name: str, one: _Reading, other: _Reading) -> bool:
    assert one.value is not None
    assert other.value is not None
    return not np.isclose(one.value, other.value, rtol=_TOLERANCE.get(name, 0.05), atol=0)


def _filter(keys: Sequence[Key], header: Mapping[str, Any]) -> Resolved | None:
    cards = [card for key in keys if (card := card_text(header, key.keyword)) is not None]
    # Of two wheels, the one that holds a filter.
    cards.sort(key=lambda card: _CLEAR.fullmatch(str(card.value)) is not None)
    return Resolved(str(cards[0].value), f"header {cards[0].keyword}") if cards else None


def _reading(name: str, key: Key, header: Mapping[str, Any], context: Context) -> _Reading | None:
    parts = re.split(r"[&/]", key.keyword)
    cards = [card for part in parts if (card := card_text(header, part)) is not None]
    if len(cards) != len(parts):
        return None
    numbers, comments = zip(*(number_in(card) for card in cards), strict=True)
    card = cards[0]
    if len(cards) > 1:
        card = CardText(key.keyword, ", ".join(str(c.value) for c in cards), "")
    if None in numbers:
        why = "is no number" if name == "gain" and len(cards) == 1 else ""
        return _Reading(card, key.rank, why=why)
    number = float(np.mean(numbers))
    if "/" in key.keyword:
        distance = numbers[1]
        number = _ARCSEC_PER_RADIAN * 1e-3 * numbers[0] / distance if distance > 0 else 0.0
        return _Reading(card, key.rank, number if number > 0 else None)
    # A gain or exposure of 0 is how archives write "unknown".
    if number < 0 or (number == 0 and name not in _ZERO_IS_A_VALUE):
        return _Reading(card, key.rank)
    stated = comment_unit(name, comments[0])
    if name == "gain" and stated in {None, "setting"}:
        # Of a keyword that is a gain by definition, a word of the comment does not make a setting.
        is_setting = key.keyword == "GAIN" and (stated or _is_setting(key, header))
        stated = "setting" if is_setting else None
    rank = 3 if stated is not None and 0 < key.rank < _OWN else key.rank
    value, why = _converted(name, number, stated or key.unit or _AS_TOLD.get(name), context)
    if value is not None and not why:
        why = _implausible(name, value, rank)
    return _Reading(card, rank, None if why else value, why)


def _is_setting(key: Key, header: Mapping[str, Any]) -> bool:
    """Whether a GAIN without a telling comment was written by software of hobby cameras."""
    if key.keyword != "GAIN" or key.rank > _OWN:
        return False
    software = " ".join(
        str(header.get(k, "")) for k in ("SWCREATE", "CREATOR", "PROGRAM", "SWOWNER")
    )
    return bool(_CAPTURE.search(software) or _CMOS.search(str(header.get("INSTRUME", ""))))


def _implausible(name: str, value: float, rank: int) -> str:
    low, high = _PLAUSIBLE.get(name, (0.0, np.inf))
    if name == "gain" and rank <= 1 and value > _LARGEST_PLAIN_GAIN:
        return "can be no electrons per data number, but a setting of the camera"
    return "" if low <= value <= high else "cannot be"


def _converted(  # noqa: PLR0911 - one reason a return
    name: str, number: float, unit: str | None, context: Context
) -> tuple[float | None, str]:
    """Return a number in the unit of its field, or None and why not."""
    if name in _FACTORS:
        if unit in {None, *_FACTORS[name]}:
            return number * _FACTORS[name].get(unit or "", 1.0), ""
        if unit == "pix" and context.pixel_scale:
            return number * context.pixel_scale, ""
        if unit == "pix":
            return None, "is in pixels of unknown size"
        return None, "does not tell its unit" if unit == "unknown" else "is another quantity"
    if name == "gain":
        if unit == "setting":
            return None, "is a setting of the camera"
        return (1 / number if unit == "per electron" else number), ""
    if name == "read_noise" and unit == "adu":
        if context.gain is None:
            return None, "is in data numbers, and no gain is known"
        return number * context.gain, ""
    if name == "saturation" and unit is not None:
        return _saturation(number, unit, context)
    return number, ""


def _saturation(number: float, unit: str, context: Context) -> tuple[float | None, str]:
    stated = u.electron if unit == "electrons" else u.adu
    if context.unit not in {u.electron, u.adu, u.count} or context.unit == stated:
        return number, ""
    if stated == u.adu and context.unit == u.count:
        return number, ""
    if context.gain is None:
        return None, f"is in {stated}, the pixels in {context.unit}, and no gain is known"
    return (number * context.gain if stated == u.adu else number / context.gain), ""
