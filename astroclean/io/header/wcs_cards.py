"""Which cards of a header make up its world coordinates: all flavours, all alternates."""

from __future__ import annotations

import re

from astropy.io import fits

__all__ = ["wcs_cards_of"]

# FITS WCS papers I to IV. The letter at the end is that of an alternate description; "P" is by
# custom that of physical pixels.
_STANDARD = re.compile(
    r"(?:WCSAXES|WCSNAME|(?:CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA|CNAME|CRDER|CSYER|CZPHS|CPERI)\d+"
    r"|(?:CD|PC|PV|PS)\d+_\d+|LONPOLE|LATPOLE|RADESYS|EQUINOX|SPECSYS|SSYSOBS|SSYSSRC|VELOSYS"
    r"|ZSOURCE|VELANGL|RESTFRQ|RESTWAV|WCSTY\d+)[A-Z]?"
)
_BEFORE_THE_STANDARD = re.compile(
    r"RADECSYS|RESTFREQ|VELREF|ALTRVAL|ALTRPIX|(?:PC|CD)\d{6}|PROJP\d+"  # drafts, and radio
    r"|[AB]P?_(?:ORDER|DMAX|\d+_\d+)"  # SIP
    r"|WAT\d_\d{3}|WCSDIM|LTV\d|LTM\d_\d"  # IRAF: TNX and ZPX, sections
    r"|CO[12]_\d+"  # polynomials of WCSTools
    r"|AMD[XY]\d+|PPO\d|PLTSCALE|[XY]PIXELSZ|CNPIX\d|PLTRA[HMS]|PLTDEC(?:SN|[DMS])"  # DSS
)
# Tables of the same file that the WCS looks up: distortion (Paper IV) and detector to image.
_LOOKUP = re.compile(r"D2IM(?:DIS|ERR|EXT)\d?|D2IM\d(?:\..+)?|AXISCORR|NPOLEXT")
_DISTORTION = re.compile(r"(?:CPDIS|CQDIS|CPERR|CQERR|D[PQ])(\d)([A-Z]?)(?:\..+)?")
_TABULATED = re.compile(r"CTYPE\d+([A-Z]?)")


def wcs_cards_of(header: fits.Header, *, lookups: bool) -> fits.Header:
    """Return the WCS cards of a header exactly as they stand (SIP, TPV, TNX, DSS and all).

    Parameters
    ----------
    header : Header
        Header of an image.
    lookups : bool
        Whether the cards go into a file that has the lookup tables which they may name. Otherwise
        cards that name one are left out; an alternate of which an axis is a table wholly so.

    Returns
    -------
    Header
        Cards in their order.
    """
    tables = set() if lookups else _tables_of(header)
    tabulated = set() if lookups else _tabulated(header)
    cards = fits.Header()
    for card in header.cards:
        keyword = card.keyword
        if _STANDARD.fullmatch(keyword):
            letter = keyword[-1] if keyword[-1].isalpha() and _has_letter(keyword) else ""
            wanted = letter not in tabulated
        elif match := _DISTORTION.fullmatch(keyword):
            wanted = match.groups() not in tables
        else:
            is_lookup = _LOOKUP.fullmatch(keyword) is not None
            wanted = lookups if is_lookup else bool(_BEFORE_THE_STANDARD.fullmatch(keyword))
        if wanted:
            cards.append(card, end=True)
    # The standard deprecates EPOCH; what it meant is EQUINOX.
    epoch = header.get("EPOCH")
    if isinstance(epoch, (int, float)) and epoch > 0 and "EQUINOX" not in cards:
        cards["EQUINOX"] = float(epoch)
    return cards


def _has_letter(keyword: str) -> bool:
    """Return whether the last letter of a standard keyword is that of an alternate."""
    return _STANDARD.fullmatch(keyword[:-1]) is not None


def _tables_of(header: fits.Header) -> set[tuple[str, ...]]:
    """Return (axis, alternate) of distortions that are lookup tables."""
    found = set()
    for card in header.cards:
        match = _DISTORTION.fullmatch(card.keyword)
        if match and "DIS" in card.keyword and str(card.value).strip().upper() == "LOOKUP":
            found.add(match.groups())
    return found


def _tabulated(header: fits.Header) -> set[str]:
    """Return the letters of the descriptions of which an axis is a table."""
    return {
        match[1]
        for card in header.cards
        if (match := _TABULATED.fullmatch(card.keyword)) and str(card.value).strip()[4:] == "-TAB"
    }
