"""Which images that no name calls science are science: the first, and detectors beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astropy.io.fits import Header

    from astroclean.io.frames.hdu_roles import Claim

__all__ = ["settled"]

_OPEN = {"unnamed", "numbered", "unknown"}
_DETECTOR_CARDS = (
    *("DETSEC", "CCDSEC", "AMPSEC", "CCDNAME", "CCDNUM", "CCDID", "CHIPID", "CHIP", "CHIPNAME"),
    *("AMPNAME", "AMPID", "IMAGEID", "EXTID", "DETID", "DETNAME", "DETECTOR", "EXPNUM", "EXPID"),
    *("BAND", "FILTER", "EXTVER"),
)
_PLACE_CARDS = (
    *("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2"),
    *("CDELT1", "CDELT2", "LTV1", "LTV2"),
)
_BARE_MOSAIC = 4
"""So many images alike, with nothing else in the file, are no image with its error and mask."""


def settled(claims: Sequence[Claim], headers: Mapping[int, Header]) -> list[Claim]:
    """Return the claims with those that names leave open made science or kept.

    Parameters
    ----------
    claims : sequence of Claim
        Of all images of the file, in order.
    headers : mapping of int to Header
        Index of an HDU to its own header.

    Returns
    -------
    list of Claim
        None is open any more.
    """
    left = [claim for claim in claims if claim.role in _OPEN]
    if any(claim.role == "science" for claim in claims):
        why = "and other HDUs are named as science"
        return [_kept(c, why) if c.role in _OPEN else c for c in claims]
    if not left:
        return list(claims)
    leader = _leader(left, headers)
    mosaic = _Mosaic(leader, headers)
    mosaic.is_bare = (
        len(claims) >= _BARE_MOSAIC
        and all(c.role == "unnamed" and c.hdu.shape == leader.hdu.shape for c in claims)
        and not any(mosaic.unlike(c) or mosaic.place(c) for c in claims)
    )
    decided = {
        claim.hdu.index: replace(claim, role="science", why=_why_first(leader))
        if claim is leader
        else mosaic.joined(claim)
        for claim in left
    }
    return [decided.get(claim.hdu.index, claim) for claim in claims]


def _kept(claim: Claim, reason: str) -> Claim:
    why = f"not named as science ({claim.why}), {reason}"
    return replace(claim, role="kept", why=why, is_doubtful=True)


def _leader(left: Sequence[Claim], headers: Mapping[int, Header]) -> Claim:
    """Return the first; of floats and integers, as of images and masks, the first of floats."""
    floats = [c for c in left if _is_float(headers[c.hdu.index])]
    return (floats or left)[0]


def _why_first(leader: Claim) -> str:
    if leader.role == "numbered":
        return leader.why
    place = "the primary image" if leader.hdu.index == 0 else "the first image"
    return f"{place} ({leader.why}), and no HDU is named as science"


class _Mosaic:
    """The images that are science beside the first of them."""

    def __init__(self, leader: Claim, headers: Mapping[int, Header]) -> None:
        self._leader = leader
        self._headers = headers
        own = headers[leader.hdu.index]
        self._detector_cards = [card for card in _DETECTOR_CARDS if card in own]
        self._place_cards = [card for card in _PLACE_CARDS if card in own]
        self._detectors = {self._values(leader, self._detector_cards)}
        self._places = {self.place(leader)}
        self.is_bare = False
        """Whether many images alike, with no card to tell them, are all there is."""

    def _values(self, claim: Claim, cards: Sequence[str]) -> tuple[Any, ...]:
        header = self._headers[claim.hdu.index]
        return tuple(header[card] for card in cards) if all(c in header for c in cards) else ()

    def place(self, claim: Claim) -> tuple[Any, ...]:
        """Return where an image lies on the sky or in a mosaic; empty where no card tells."""
        return self._values(claim, self._place_cards)

    def unlike(self, claim: Claim) -> str | None:
        """Return why an image is no detector beside the first, if its type or axes say so."""
        first = f"[{self._leader.hdu.label}]"
        floats = [_is_float(self._headers[c.hdu.index]) for c in (claim, self._leader)]
        if floats[0] != floats[1]:
            return f"and it holds {'floats' if floats[0] else 'integers'}, as {first} does not"
        if len(claim.hdu.shape) != len(self._leader.hdu.shape):
            return f"and it has {len(claim.hdu.shape)} axes, as {first} has not"
        return None

    def joined(self, claim: Claim) -> Claim:
        """Return an image as science of the mosaic, or as kept."""
        reason = self.unlike(claim)
        why = None if reason else self._why(claim)
        if why is None:
            first = f"[{self._leader.hdu.label}]"
            return _kept(claim, reason or f"nothing tells it from a map that belongs to {first}")
        self._detectors.add(self._values(claim, self._detector_cards))
        self._places.add(self.place(claim))
        return replace(claim, role="science", why=why)

    def _why(self, claim: Claim) -> str | None:
        """Return what says that an image is science as others are, if anything does."""
        first = self._leader.hdu
        if claim.role == self._leader.role == "numbered":
            return f"{claim.why}, as [{first.label}]"
        if self.is_bare:
            return f"one of at least {_BARE_MOSAIC} images alike, and there is nothing else"
        detector = self._values(claim, self._detector_cards)
        if detector and detector not in self._detectors:
            return f"{claim.why}, told from others by {', '.join(self._detector_cards)}"
        place = self.place(claim)
        if place and place not in self._places and claim.hdu.shape == first.shape:
            return f"{claim.why}, of the shape of [{first.label}] and elsewhere by its WCS"
        return None


def _is_float(header: Header) -> bool:
    """Return whether an image holds floats, or integers that cards scale to such."""
    return bool(header["BITPIX"] < 0 or header.get("BSCALE", 1) != 1)
