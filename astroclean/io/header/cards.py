"""What a card says of a detector value: its number, and the unit that its comment tells."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.io.fits import Header

__all__ = ["CardText", "card_text", "comment_unit", "number_in", "values_by_keyword"]

_COMMENTARY = {"", "COMMENT", "HISTORY"}

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?)\s*(.*)", re.DOTALL)

_ELECTRONS = r"(?:photo-?)?(?:electrons?|elec|el|e-|e)"
_NUMBERS = r"(?:adu|dn|counts?|cts?|a/?d(?:[ -]?units?)?|(?:data|digital) (?:numbers?|units?))"
_PER = r"\s*(?:/|per|p\.)\s*"
_SETTING = (
    r"(?:sensor|camera) gain|\bsetting\b|\bdb\b|\biso\b|amplifier name"
    r"|gain[ _-]?(?:setting|index|mode|number)"
)
# Value to unit to what tells it in a comment, the most telling first.
_TOLD: dict[str, tuple[tuple[str, str], ...]] = {
    "gain": (
        ("per electron", rf"\b{_NUMBERS}s?{_PER}{_ELECTRONS}(?![a-z])|electrons? to {_NUMBERS}"),
        ("electrons", rf"(?<![a-z]){_ELECTRONS}{_PER}{_NUMBERS}|\b{_NUMBERS}s? to electrons?"),
        ("setting", _SETTING),
    ),
    "read_noise": (
        ("electrons", rf"(?<![a-z]){_ELECTRONS}(?![a-z])"),
        ("adu", rf"\b{_NUMBERS}s?\b"),
    ),
    "saturation": (
        ("electrons", rf"(?<![a-z]){_ELECTRONS}(?![a-z])"),
        ("adu", rf"\b{_NUMBERS}s?\b"),
    ),
    "exposure": (
        ("ms", r"\bm(?:illi)?[ -]?s(?:ec(?:ond)?s?)?\b|\bmsecs?\b"),
        ("us", r"\b(?:us|µs|usecs?|microsec(?:ond)?s?)\b"),
        # "min exposure (s)" is the shortest one, in seconds.
        ("min", r"\bminutes?\b|[\[(]mins?[\])]|\bin min\b"),
        ("h", r"\bhours?\b|[\[(]h(?:rs?)?[\])]"),
        ("day", r"\bin days?\b|[\[(]d(?:ays?)?[\])]"),
        ("s", r"\bs(?:ec(?:ond)?s?)?\b"),
    ),
    "pixel_scale": (
        ("none", r"/\s*mm\b|per mm|\b(?:um|microns?|micrometers?|mm)\b"),
        ("mas", r"\bmas\b|milli-?arcsec"),
        ("arcsec", r"arc-?sec|\basec\b|\""),
        ("arcmin", r"arc-?min"),
        ("deg", r"\bdeg(?:rees?)?\b"),
    ),
    "psf_fwhm": (
        # BMAJ of a sharpened image: its values stay per beam of what it was made from.
        ("none", r"\bthat BUNIT refers to\b"),
        ("pix", r"\bpix(?:el)?s?\b|\bpx\b"),
        ("mas", r"\bmas\b|milli-?arcsec"),
        ("arcsec", r"arc-?sec|\basec\b|\""),
        ("deg", r"\bdeg(?:rees?)?\b"),
    ),
}
# "FWHM in arcsec (0.26 arcsec/pix)": a scale beside the width tells nothing of its unit.
_SCALE = re.compile(r"(?:arc-?sec\w*|asec|\"|mas)\s*(?:/|per)\s*(?:pix\w*|px)", re.IGNORECASE)


@dataclass(frozen=True)
class CardText:
    """A card as it stands: keyword, value, and comment with what follows the number."""

    keyword: str
    value: Any
    comment: str

    @property
    def quoted(self) -> str:
        """How messages show it."""
        comment = f" ('{self.comment}')" if self.comment else ""
        return f"{self.keyword} = {self.value}{comment}"


def card_text(header: Mapping[str, Any], keyword: str) -> CardText | None:
    """Return a card, or None where it is not there or blank."""
    value = header.get(keyword)
    text = str(value).strip()
    if value is None or not text:
        return None
    comments = getattr(header, "comments", None)
    comment = str(comments[keyword]).strip() if comments is not None else ""
    return CardText(keyword, text if isinstance(value, str) else value, comment)


def number_in(card: CardText) -> tuple[float | None, str]:
    """Return the number of a card, and its comment with the text that follows the number.

    ``'1.2 arcsec'`` and ``"150.5   / seconds"`` are numbers with a comment in the value.
    """
    if isinstance(card.value, bool):
        return None, card.comment
    found = _NUMBER.fullmatch(str(card.value))
    if found is None or (re.match(r"[\w:]", found[2]) and ":" in found[2]):
        return None, card.comment
    number = float(re.sub("[dD]", "e", found[1]))
    return (number if np.isfinite(number) else None), f"{found[2].strip('/ ')} {card.comment}"


def comment_unit(name: str, comment: str) -> str | None:
    """Return the unit that a comment tells for a value, or None.

    Parameters
    ----------
    name : str
        Field of `Detector`.
    comment : str
        Of the card.

    Returns
    -------
    str or None
        ``electrons``, ``per electron`` (the inverse of a gain), ``setting`` (no gain at all),
        ``adu``, ``s``, ``ms``, ``arcsec``, ``pix``, ``none`` (another quantity) and the like.
    """
    text = _SCALE.sub("", comment) if name == "psf_fwhm" else comment
    bracketed = re.match(r"\s*[\[(]([^\])]+)[\])]", text)
    # By the standard, a unit stands in brackets before the comment.
    for part in (*([bracketed[0]] if bracketed else []), text):
        for unit, pattern in _TOLD.get(name, ()):
            if re.search(pattern, part, re.IGNORECASE):
                return unit
    return None


def values_by_keyword(header: Header) -> dict[str, Any]:
    """Return the value of each keyword, the first where one repeats; without commentary.

    Not asked for by keyword: a damaged one may hold a star, which astropy takes for a pattern.

    Parameters
    ----------
    header : Header
        Not modified.
    """
    values = {card.keyword: card.value for card in reversed(header.cards)}
    return {key: value for key, value in values.items() if key not in _COMMENTARY}
