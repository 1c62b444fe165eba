"""Which HDUs of a file make a frame, by the rules of its instrument; which are skipped, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from astroclean.errors import FitsReadError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astroclean.io.address import Address
    from astroclean.io.hdu_info import HduInfo
    from astroclean.io.instruments import Instrument
    from astroclean.io.source import FitsSource

__all__ = ["FrameSlot", "Grouping", "group_hdus"]

_OWN_ROLES = {"FLAGS": "flags", "UNCERT": "error"}
"""EXTNAME of what astroclean wrote to its role when it is read again."""
_IMAGE = 2
_CUBE = 3


@dataclass(frozen=True)
class FrameSlot:
    """Where one frame lies in a file."""

    science: HduInfo
    ordinal: int
    """Number of the science HDU among the science HDUs, from 1: EXTVER of its products."""
    plane: int | None = None
    """Plane of a cube."""
    companions: Mapping[str, HduInfo] = field(default_factory=dict)
    """Role (``error variance inverse_variance dq coverage flags``) to HDU."""

    @property
    def label(self) -> str:
        """How messages name the frame within its file."""
        plane = "" if self.plane is None else f" plane {self.plane}"
        return f"[{self.science.label}]{plane}"


@dataclass(frozen=True)
class Grouping:
    """The frames of a file and what is not one."""

    slots: tuple[FrameSlot, ...]
    skipped: Mapping[str, str]
    """HDU label to reason; such HDUs are copied as they are."""


def group_hdus(source: FitsSource, instrument: Instrument, address: Address) -> Grouping:
    """Sort the HDUs of a file into frames.

    Parameters
    ----------
    source : FitsSource
        Open file.
    instrument : Instrument
        Its rules.
    address : Address
        Names one HDU to restrict the run to it.

    Returns
    -------
    Grouping
        At least one slot.

    Raises
    ------
    FitsReadError
        No image that could be cleaned, or one with too many axes.
    """
    roles = _roles(source.hdus, instrument)
    skipped = {
        f"[{hdu.label}]": reason
        for hdu in source.hdus
        if (reason := _reason_to_skip(hdu, roles, has_others=len(source.hdus) > 1))
    }
    science = [hdu for hdu in source.hdus if roles.get(hdu.index, ("", ""))[0] == "science"]
    ordinals = {hdu.index: number for number, hdu in enumerate(science, 1)}
    if not address.is_whole_file:
        chosen = source.find(address)
        if len(chosen.shape) < _IMAGE:
            raise FitsReadError("HDU holds no image", where=str(address), received=chosen.shape)
        for hdu in science:
            if hdu.index != chosen.index:
                skipped[f"[{hdu.label}]"] = "not addressed"
        skipped.pop(f"[{chosen.label}]", None)
        science = [chosen]
        ordinals.setdefault(chosen.index, 1)
    if not science:
        seen = "; ".join(f"{label}: {reason}" for label, reason in skipped.items())
        raise FitsReadError(
            f"no image to clean for instrument '{instrument.name}'",
            where=str(source.path),
            received=seen or "an empty primary HDU only",
            remedy="Address an HDU, as in `file.fits[1]`, or name another instrument.",
        )
    slots = [
        slot
        for hdu in science
        for slot in _slots(source, instrument, hdu, ordinals[hdu.index], roles)
    ]
    return Grouping(tuple(slots), skipped)


def _roles(hdus: Sequence[HduInfo], instrument: Instrument) -> dict[int, tuple[str, str]]:
    """Return HDU index to (role, key), the key telling which HDUs belong together."""
    roles = {}
    for hdu in hdus:
        if not hdu.is_image or len(hdu.shape) < _IMAGE or hdu.belongs_to is not None:
            continue
        named = instrument.hdus.role(hdu.name) if hdu.name else None
        if named is not None:
            roles[hdu.index] = (named[0], named[1] or str(hdu.version))
        elif not instrument.hdus.science:
            roles[hdu.index] = ("science", str(hdu.version))
    if not any(role == "science" for role, _ in roles.values()):
        unnamed = [
            hdu
            for hdu in hdus
            if len(hdu.shape) >= _IMAGE and hdu.index not in roles and hdu.belongs_to is None
        ]
        # A single image, as archives and reduction scripts write it, needs no EXTNAME.
        if len(unnamed) == 1:
            roles[unnamed[0].index] = ("science", str(unnamed[0].version))
    return roles


def _reason_to_skip(
    hdu: HduInfo, roles: Mapping[int, tuple[str, str]], *, has_others: bool
) -> str | None:
    if hdu.index in roles:
        return None
    if hdu.belongs_to is not None:
        return None if hdu.name in _OWN_ROLES else "a product of astroclean"
    if not hdu.is_image:
        return "a table"
    if not hdu.shape:
        return None if hdu.index == 0 and has_others else "no pixels"
    if len(hdu.shape) < _IMAGE:
        return "one-dimensional"
    return f"not a science HDU of this instrument ({hdu.name or 'no EXTNAME'})"


def _slots(
    source: FitsSource,
    instrument: Instrument,
    science: HduInfo,
    ordinal: int,
    roles: Mapping[int, tuple[str, str]],
) -> list[FrameSlot]:
    where = f"{source.path}[{science.label}]"
    leading = science.shape[:-2]
    if len([n for n in leading if n != 1]) > 1 or (len(science.shape) > _CUBE and max(leading) > 1):
        raise FitsReadError(
            f"{len(science.shape)} axes; images and cubes of images are understood",
            where=where,
            received=science.shape,
            remedy="Split it into cubes of three axes.",
        )
    if leading and instrument.cube == "refuse":
        raise FitsReadError(
            f"instrument '{instrument.name}' has no cubes", where=where, received=science.shape
        )
    companions = _companions(source, science, roles, where)
    if not leading:
        return [FrameSlot(science, ordinal, None, companions)]
    return [FrameSlot(science, ordinal, plane, companions) for plane in range(max(leading))]


def _companions(
    source: FitsSource, science: HduInfo, roles: Mapping[int, tuple[str, str]], where: str
) -> dict[str, HduInfo]:
    key = roles.get(science.index, ("", str(science.version)))[1]
    found: dict[str, HduInfo] = {}
    for hdu in source.hdus:
        role, own_key = roles.get(hdu.index, ("science", ""))
        if hdu.belongs_to == science.label and hdu.name in _OWN_ROLES:
            role, own_key = _OWN_ROLES[hdu.name], key
        if role == "science" or own_key != key or hdu.index == science.index:
            continue
        if hdu.shape != science.shape:
            raise FitsReadError(
                f"[{hdu.label}] ({role}) must have the shape {science.shape} of the science HDU",
                where=where,
                received=hdu.shape,
            )
        found.setdefault(role, hdu)
    return found
