"""What the text of a unit means, in the spellings that headers have."""

from __future__ import annotations

import contextlib
import re
import warnings
from typing import TYPE_CHECKING

import astropy.units as u

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["parsed_unit"]

_FORMATS = (None, "fits", "cds", "ogip", "vounit")
"""Of astropy, in the order in which they are tried; none: its own."""

# Spellings of one unit, without case. Where case tells one unit from another it is not here.
_SPELLINGS = {
    "electron": "e el elec electron electrons photoelectron photoelectrons",
    # What a data number is called differs from camera to camera; all take the same gain.
    "adu": "adu adus dn dns du dus count counts cnt cnts ct cts analog",
    "photon": "ph phot photon photons",
    "s": "s sec secs second seconds",
    "pix": "pix pixel pixels px spaxel spaxels",
    "beam": "beam beams bm",
    "Jy": "jy jansky janskys janskies",
    "uJy": "ujy microjy microjansky",
    "nJy": "njy nanojy nanojansky",
    "kJy": "kjy",
    "mJy": "millijy millijansky",
    "MJy": "megajy megajansky",
    "sr": "sr ster sterad steradian steradians",
    "arcsec": "arcsec arcsecs arcsecond arcseconds asec",
    "arcmin": "arcmin arcminute arcminutes amin",
    "deg": "deg degree degrees",
    "Angstrom": "ang angs angstrom angstroms aa ångström ångstrom å",
    "um": "um micron microns micrometer micrometre",
    "nm": "nm nanometer nanometre nanometers",
    "cm": "cm centimeter centimetre",
    "km": "km kilometer kilometre",
    "Hz": "hz hertz",
    "GHz": "ghz",
    "erg": "erg ergs",
    "keV": "kev",
    "W": "w watt watts",
    "nW": "nw",
    "K": "k kelvin kelvins",
    "mag": "mag mags magnitude magnitudes",
    "nmgy": "nmgy nanomaggy nanomaggie nanomaggies nanomgy",
    "mgy": "mgy maggy maggie maggies",
    "V": "v volt volts",
    "%": "percent",
}
_WORDS = {word: unit for unit, words in _SPELLINGS.items() for word in words.split()}
_UPPER_ONLY = {"M": "m"}
"""Meant so where the whole text is in capitals."""

_NO_UNIT = frozenset(
    {"unitless", "none", "dimensionless", "no unit", "nounit", "normalized", "normalised", "ratio"}
)
_PHRASES = (
    (r"\b(?:data|digital)[ _]*(?:numbers?|units?)\b", "adu"),
    (r"\banalog(?:ue)?[ _-]*(?:to[ _-]*)?digital[ _]*(?:converter)?[ _]*units?\b", "adu"),
    (r"\bphoto-?electrons?\b", "electron"),
    (r"\be\^?-(?![\d.(])", " electron "),  # not the exponent of 1e-16
    (r"\bper\b", "/"),
    (r"\b(?:sq(?:uare)?\.?)[ _]*(arcsec\w*|arcmin\w*|deg\w*|asec|cm|m)\b", r"\1**2"),
    (r"\b(arcsec|asec|arcmin|deg|cm|m)\w*[ _]*squared\b", r"\1**2"),
    (r"\\(?:AA|aa)\b|Å", "Angstrom"),
    (r"\{([^}]*)\}", r"(\1)"),
)
_FACTOR = re.compile(
    r"\s*[([]?\s*(?:(?P<base>10)\s*(?:\*\*|\^)\s*\(?\s*(?P<power>[+-]?\d+)\s*\)?"
    r"|10\(?(?P<short>[+-]\d+)\)?"
    r"|(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?))\s*[)\]]?\s*[*.x\u00d7]?\s*(?P<rest>[A-Za-z(].*)"
)
_TOKEN = re.compile(r"[^\W\d_]+")
# Beside one of these, A is a wavelength and no current.
_OF_LIGHT = frozenset({"erg", "W", "photon", "Jy", "mJy", "uJy", "electron", "adu", "keV", "nmgy"})


def parsed_unit(text: str, aliases: Mapping[str, str] | None = None) -> u.UnitBase | None:
    """Return the unit that a text names, or None where it cannot be told.

    Parameters
    ----------
    text : str
        Value of BUNIT, TUNITn or the like. Case, blanks, brackets, ``**``, ``^``, ``per`` and the
        names that the field uses for one unit do not matter.
    aliases : mapping of str to str, optional
        Further texts to the texts meant, without case; they go before all others.

    Returns
    -------
    UnitBase or None
        None where the text has several meanings: ``MJY/BEAM`` may be milli or mega.
    """
    meant = {_plain(key): value for key, value in (aliases or {}).items()}
    for candidate in _candidates(text):
        if _plain(candidate) in meant:
            # An alias of the instrument is taken at its word first.
            alias = meant[_plain(candidate)]
            return _by_astropy(alias) if alias else u.dimensionless_unscaled
    for candidate in _candidates(text):
        if candidate.lower() in _NO_UNIT:
            return u.dimensionless_unscaled
        unit = _understood(candidate)
        if unit is not None:
            return unit
    return None


def _plain(text: str) -> str:
    return re.sub(r"\s+", "", text).upper()


def _candidates(text: str) -> Iterator[str]:
    whole = text.strip()
    yield whole
    # Herschel headers hold "Jy/pix   / Unit of the map": a comment within the value.
    before = re.split(r"\s{2,}/ | / (?=[A-Z]?[a-z]+ )", whole, maxsplit=1)[0].strip()
    if before != whole:
        yield before
    bare = before.strip("'\" ")
    while len(bare) > 1 and bare[0] + bare[-1] in {"[]", "()", "{}", "<>"}:
        bare = bare[1:-1].strip("'\" ")
    if bare != before:
        yield bare
    # "K (Tmb)", "Jy/beam [peak]": what follows tells the quantity.
    without = re.sub(r"\s*[([][A-Za-z* _]+[)\]]\s*$", "", bare)
    if without not in {bare, ""} and not without.endswith("/"):
        yield without


def _understood(text: str) -> u.UnitBase | None:
    factor, rest = 1.0, text
    found = _FACTOR.fullmatch(text)
    if found is not None:
        power = found["power"] or found["short"]
        factor = 10.0 ** int(power) if power else float(found["number"])
        rest = found["rest"]
    for phrase, replacement in _PHRASES:
        rest = re.sub(phrase, replacement, rest, flags=re.IGNORECASE)
    words = _aliased(rest)
    unit = None if words is None else _by_astropy(words)
    if unit is None or factor == 1:
        return unit
    return u.Unit(factor * unit)


def _aliased(text: str) -> str | None:
    """Return a text with the words of `_WORDS` in astropy's spelling; None: ambiguous."""
    capitals = text.upper() == text
    tokens = [_word(token, capitals=capitals) for token in _TOKEN.findall(text)]
    if "MJY" in tokens and not re.search(r"/\s*SR|SR\s*(\*\*|\^)?\s*\(?-1", text):
        return None
    light = bool(_OF_LIGHT & set(tokens))
    renamed = iter(
        "MJy" if word == "MJY" else "Angstrom" if word in {"A", "a"} and light else word
        for word in tokens
    )
    return _TOKEN.sub(lambda _: next(renamed), text)


def _word(token: str, *, capitals: bool) -> str:
    if token.lower() in _WORDS and token not in {"k", "v", "w", "E", "as"}:
        return _WORDS[token.lower()]
    return _UPPER_ONLY.get(token, token) if capitals else token


def _by_astropy(text: str) -> u.UnitBase | None:
    if re.search(r"['\"`]", text):
        return None  # VOUnit would make a new unit of what is in quotes
    text = re.sub(r"\s+", " ", text).strip()
    # Of radio maps: a product that follows "per beam" is no part of the denominator.
    product = re.fullmatch(r"([^/]+/ ?beam) ?[ .*] ?(?!\*)(.+)", text)
    if product is not None:
        first, second = (_by_astropy(part) for part in product.groups())
        return None if first is None or second is None else first * second
    # A product sign or a full stop between units is a blank to all of the parsers.
    spaced = re.sub(r"(?<=[A-Za-z)\d])\s*(?<!\*)\*(?!\*)\s*(?=[A-Za-z(])", " ", text)
    spaced = re.sub(r"(?<=[A-Za-z)])\.(?=[A-Za-z(])", " ", spaced)
    for spelling in dict.fromkeys((text, spaced)):
        for form in _FORMATS:
            # Deprecated spellings such as "ergs" are understood; they are not the user's fault.
            with warnings.catch_warnings(), contextlib.suppress(ValueError, TypeError):
                warnings.simplefilter("ignore", u.UnitsWarning)
                unit = u.Unit(spelling, format=form)
                if isinstance(unit, u.UnitBase):
                    return unit
    return None
