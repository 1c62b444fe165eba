"""Which science HDU an error, variance, weight or mask belongs to: never two of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from astroclean.io.frames.instruments import COMPANIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astroclean.io.fits.hdu_info import HduInfo
    from astroclean.io.frames.hdu_roles import Claim

__all__ = ["Pairing", "paired"]


@dataclass
class Pairing:
    """Which companions go with which science HDU."""

    of: dict[int, dict[str, HduInfo]] = field(default_factory=dict)
    """Index of a science HDU to its companions by role."""
    left: dict[int, str] = field(default_factory=dict)
    """Index of an HDU that goes with none to the reason."""
    by_order: bool = False
    """Whether the order of the HDUs decided, as keys did not tell."""

    def add(self, science: HduInfo, role: str, hdu: HduInfo) -> None:
        """Give a science HDU a companion, if it can be one and there is none yet."""
        own = self.of.setdefault(science.index, {})
        if _image_axes(hdu.shape) != _image_axes(science.shape):
            self.left[hdu.index] = (
                f"not used as {role}: its shape {hdu.shape} is not the shape {science.shape} "
                f"of [{science.label}]"
            )
        elif role in own:
            self.left[hdu.index] = f"not used as {role}: [{own[role].label}] is"
        else:
            own[role] = hdu


def _image_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without leading axes of length one."""
    return (*(n for n in shape[:-2] if n != 1), *shape[-2:])


def paired(claims: Sequence[Claim]) -> Pairing:
    """Find the companions of each science HDU.

    By a card that names the science HDU, else by the number in the name or EXTVER. Where these are
    missing or repeated, by order: each companion goes with the science HDU before it, or the n-th
    of a kind with the n-th science HDU. What could belong to several belongs to none.

    Parameters
    ----------
    claims : sequence of Claim
        Of all images of the file, in order, none open.

    Returns
    -------
    Pairing
        Every companion is in one of its two tables.
    """
    pairing = Pairing()
    science = [c for c in claims if c.role == "science"]
    kinds: dict[tuple[str, str], list[Claim]] = {}
    for claim in claims:
        if claim.role in COMPANIONS:
            kinds.setdefault((claim.role, claim.word), []).append(claim)
    for (role, _), members in kinds.items():
        pairs = _by_card(members, science) or _by_key(members, science)
        if pairs is None:
            pairing.by_order = True
            pairs = _by_order(members, science, claims)
        for member in members:
            owner = pairs.get(member.hdu.index)
            if owner is not None:
                pairing.add(owner.hdu, role, member.hdu)
            elif len(science) > 1 and not member.is_stated:
                pairing.left[member.hdu.index] = (
                    f"not used as {role}: no EXTVER tells to which of {len(science)} science HDUs "
                    "it belongs"
                )
            else:
                pairing.left[member.hdu.index] = (
                    f"not used as {role}: no science HDU has its number, {member.key}"
                )
    return pairing


def _by_card(members: Sequence[Claim], science: Sequence[Claim]) -> dict[int, Claim] | None:
    pairs: dict[int, Claim] = {}
    for member in members:
        named = [s for s in science if member.partner and s.hdu.name == member.partner]
        if len(named) != 1:
            return None
        pairs[member.hdu.index] = named[0]
    return pairs


def _by_key(members: Sequence[Claim], science: Sequence[Claim]) -> dict[int, Claim] | None:
    """Return index of a companion to its science HDU; None where keys are missing or repeated."""
    pairs: dict[int, Claim] = {}
    taken: set[int] = set()
    for member in members:
        owners = [s for s in science if member.agrees(s)]
        if len(science) == 1 and not member.is_stated:
            owners = list(science)
        if len(owners) > 1 or any(s.hdu.index in taken for s in owners):
            return None
        taken |= {s.hdu.index for s in owners}
        if owners:
            pairs[member.hdu.index] = owners[0]
    return pairs


def _by_order(
    members: Sequence[Claim], science: Sequence[Claim], claims: Sequence[Claim]
) -> dict[int, Claim]:
    if _is_in_blocks(science, claims):
        # The first of a kind in each block: `Pairing.add` tells the others.
        return {
            m.hdu.index: max((s for s in science if s.hdu.index < m.hdu.index), key=_index)
            for m in members
        }
    if len(members) == len(science):
        return {m.hdu.index: s for m, s in zip(members, science, strict=True)}
    return {}


def _index(claim: Claim) -> int:
    return claim.hdu.index


def _is_in_blocks(science: Sequence[Claim], claims: Sequence[Claim]) -> bool:
    """Return whether a science HDU comes first, and companions between any two of them."""
    roles = [c.role for c in claims if c.role == "science" or c.role in COMPANIONS]
    is_apart = ("science", "science") not in itertools.pairwise(roles)
    return len(science) > 1 and roles[0] == "science" and is_apart
