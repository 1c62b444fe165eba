"""What one HDU is by itself: what the instrument file, its own cards and its name say of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from astroclean.io.frames.instruments import COMPANIONS, GENERIC, load_instrument

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from astroclean.io.fits.hdu_info import HduInfo
    from astroclean.io.frames.instruments import Instrument

__all__ = ["Claim", "HduRole", "claims_of"]


@dataclass(frozen=True)
class HduRole:
    """What an HDU is taken for."""

    hdu: HduInfo
    role: str
    """``science``, ``error variance inverse_variance dq coverage``, ``flags``, or ``kept``."""
    why: str
    """The card, name or rule that told it, and of a companion its frame."""


@dataclass(frozen=True)
class Claim:
    """What is known of an HDU without looking at the others."""

    hdu: HduInfo
    role: str
    """As in :class:`HduRole`, or ``unnamed``, ``numbered``, ``unknown``: the others must tell."""
    why: str
    key: str = ""
    """What HDUs of one frame have in common: number of the detector, or EXTVER."""
    is_named_key: bool = False
    """Whether the key is part of the name."""
    is_stated: bool = False
    """Whether the file states the key."""
    word: str = ""
    """What the name says without the key; no frame has two of one word."""
    is_doubtful: bool = False
    """Whether it is kept only because nothing says that it is science."""
    partner: str | None = None
    """EXTNAME of the science HDU, where a card names it."""

    def agrees(self, other: Claim) -> bool:
        """Return whether the keys of two HDUs say that they belong together."""
        # A number in one name and an EXTVER that nobody wrote are the same by chance.
        comparable = self.is_named_key == other.is_named_key or (self.is_stated and other.is_stated)
        return self.key == other.key and comparable


_SCIENCE = re.compile(
    r"SCI(?:ENCE)?|IMA?GE?|DATA|SIGNAL|INTENSITY|FLUX|CAL|COADD|MOSAIC", re.IGNORECASE
)
_DETECTOR = re.compile(
    r"ESO|CCD(?:ID)?|CHIP|DET(?:ECTOR)?|CAM(?:ERA)?|IM|AMP(?:LIFIER)?|QUAD(?:RANT)?|OTA|MOD(?:ULE)?|OUT|S?EXT(?:ENSION)?"
    r"|SEGMENT|INT|HDU",
    re.IGNORECASE,
)
_NO_NAMES = {"", "PRIMARY", "COMPRESSED_IMAGE"}
"""COMPRESSED_IMAGE is what CFITSIO calls an image without a name."""
_NUMBERED = re.compile(r"([A-Z]{0,12})(\d{1,5})([A-Z]{0,2})", re.IGNORECASE)

_CARD_ROLES = {
    "science": "IMAGE SCI SCIENCE DATA",
    "error": "ERROR ERR SIGMA STDDEV RMS RMSE UNCERTAINTY",
    "variance": "VARIANCE VAR MSE",
    "inverse_variance": "INVVAR IVAR INVMSE",
    "dq": "MASK DQ DQMASK BPM QUALITY FLAG FLAGS MASKZERO FLAG16BIT FLAG32BIT",
    "coverage": "WEIGHT WTMAP WGT EXPMAP COVERAGE NEXP",
    "kept": "MODEL RESIDUAL CHI2 BLOBMODEL BACKGROUND PSF DEPTH GALDEPTH PSFDEPTH PSFSIZE"
    " INVRMSE MASKONE",
}
_BY_VALUE = {value: role for role, text in _CARD_ROLES.items() for value in text.split()}
# What an HDU holds, by its own header: ESO (the most exact first), Rubin, DES, Legacy Surveys.
_CARDS = ("HDUCLAS3", "HDUCLAS2", "EXTTYPE", "DES_EXT", "IMTYPE", "IMAGETYP")
# Scripts copy these from the image to its error; they say "image" only where others say otherwise.
_COPIED_CARDS = ("IMTYPE", "IMAGETYP")
# What the whole file holds: masks of NOIRLab's Community Pipeline have the EXTNAMEs of its images.
_CARDS_OF_FILE = ("PRODTYPE",)
_OF_GALFIT = {"MODEL": "MODEL", "RESIDUAL MAP": "RESIDUAL"}


def claims_of(
    hdus: Sequence[HduInfo],
    headers: Mapping[int, Mapping[str, Any]],
    primary: Mapping[str, Any],
    instrument: Instrument,
) -> list[Claim]:
    """Return what the image HDUs of at least two axes claim to be.

    Parameters
    ----------
    hdus : sequence of HduInfo
        The HDUs.
    headers : mapping of int to mapping
        Index of an HDU to its own header.
    primary : mapping
        Header of the primary HDU.
    instrument : Instrument
        Its patterns of EXTNAMEs go before the common names.

    Returns
    -------
    list of Claim
        With the reasons in words.
    """
    idle = {
        card
        for card in _COPIED_CARDS
        if len({str(h[card]).strip().upper() for h in headers.values() if card in h}) == 1
    }
    return [_claim(hdu, headers[hdu.index], primary, instrument, idle) for hdu in hdus]


def _claim(
    hdu: HduInfo,
    header: Mapping[str, Any],
    primary: Mapping[str, Any],
    instrument: Instrument,
    idle: set[str],
) -> Claim:
    named = _by_instrument(hdu, header, instrument) or _by_name(hdu, header)
    told = _by_cards(header, primary, idle)
    # A card says more than a pattern of science HDUs, less than a name that is no science.
    open_roles = {"unnamed", "numbered", "unknown"}
    if told is not None and named.role in (
        open_roles if told[0] == "science" else {*open_roles, "science"}
    ):
        named = replace(named, role=told[0], why=told[1])
    partner = str(header.get("SCIDATA") or "").strip().upper()
    return replace(named, partner=partner) if partner and named.role in COMPANIONS else named


def _by_cards(
    header: Mapping[str, Any], primary: Mapping[str, Any], idle: set[str]
) -> tuple[str, str] | None:
    """Return role and reason; ``idle`` cards say the same of all images."""
    for card in (*_CARDS, *_CARDS_OF_FILE):
        is_of_file = card in _CARDS_OF_FILE
        value = str((primary if is_of_file else header).get(card, "")).strip().upper()
        role = _BY_VALUE.get(value)
        if role is not None and (role != "science" or not (is_of_file or card in idle)):
            return role, f"{card} = '{value}'"
    drawn = str(header.get("OBJECT", "")).strip().upper()
    if drawn in _OF_GALFIT:
        return "kept", f"OBJECT = '{drawn}', as GALFIT writes it"
    return None


def _by_instrument(hdu: HduInfo, header: Mapping[str, Any], instrument: Instrument) -> Claim | None:
    """Return what the instrument file says; None where common names decide."""
    is_stated = "EXTVER" in header
    if hdu.name in _NO_NAMES:
        return Claim(hdu, "unnamed", "no EXTNAME", str(hdu.version), is_stated=is_stated)
    named = instrument.hdus.role(hdu.name)
    # The words of the generic instrument are taken out of whole names below.
    if named is not None and instrument.name != GENERIC:
        role, group = named
        why = f"EXTNAME is '{role}' of instrument '{instrument.name}'"
        key = group or str(hdu.version)
        word = hdu.name.replace(group, "") if group else hdu.name
        return Claim(hdu, role, why, key, bool(group), bool(group) or is_stated, word)
    if not instrument.hdus.science:
        return None
    why = f"not a science HDU of this instrument ({hdu.name})"
    return Claim(hdu, "kept", why, str(hdu.version), is_stated=is_stated)


def _by_name(hdu: HduInfo, header: Mapping[str, Any]) -> Claim:
    """Return what the words of an EXTNAME say."""
    rules = load_instrument(GENERIC).hdus
    roles: dict[str, str] = {}
    designators: list[str] = []
    strange: list[str] = []
    for part in re.findall(r"[A-Z0-9]+", hdu.name.upper()):
        stem = match[1] if (match := _NUMBERED.fullmatch(part)) else part
        for word in dict.fromkeys([part, stem]):
            named = rules.role(word)
            role = named[0] if named else "science" if _SCIENCE.fullmatch(word) else ""
            if role:
                roles[word] = role
                designators += [str(int(match[2]))] if match and word == stem != part else []
                break
        else:
            if match is not None:
                number = f"{int(match[2])}{match[3].upper()}"
                is_plain = not stem or _DETECTOR.fullmatch(stem)
                designators.append(number if is_plain else f"{stem}{number}")
            elif len(part) == 1:
                designators.append(part)
            elif not _DETECTOR.fullmatch(part):
                strange.append(part)
    is_named_key = bool(designators)
    role, why = _meaning(hdu.name, roles, designators, strange)
    return Claim(
        hdu,
        role,
        why,
        key=".".join(designators) or str(hdu.version),
        is_named_key=is_named_key,
        is_stated=is_named_key or "EXTVER" in header,
        word=".".join(roles),
    )


def _meaning(
    name: str, roles: Mapping[str, str], designators: list[str], strange: list[str]
) -> tuple[str, str]:
    beside = {role for role in roles.values() if role != "science"}
    words = ", ".join(f"'{w}'" for w, role in roles.items() if role in beside)
    if "kept" in beside:
        return "kept", f"EXTNAME '{name}': {words} is neither sky nor its noise"
    if beside and (strange or len(beside) > 1):
        return "kept", f"EXTNAME '{name}': {words} of what is not known"
    if beside:
        (role,) = beside
        return role, f"EXTNAME '{name}': {words}"
    if roles and not strange:
        return "science", f"EXTNAME '{name}' says so"
    if designators and not strange and not roles:
        return "numbered", f"EXTNAME '{name}' is that of a detector"
    return "unknown", f"EXTNAME '{name}' is not known"
