"""Which HDUs of a file make a frame, by the rules of its instrument; which are skipped, and why."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from astroclean.errors import FitsReadError
from astroclean.io.frames.companions import paired
from astroclean.io.frames.hdu_roles import HduRole, claims_of
from astroclean.io.frames.instruments import COMPANIONS
from astroclean.io.frames.mosaics import settled
from astroclean.io.header.color_filters import colors_of
from astroclean.io.products.layers import FINE_PSF, PSF, UNCERTAINTY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astroclean.io.fits.address import Address
    from astroclean.io.fits.hdu_info import HduInfo
    from astroclean.io.fits.source import FitsSource
    from astroclean.io.frames.companions import Pairing
    from astroclean.io.frames.hdu_roles import Claim
    from astroclean.io.frames.instruments import Instrument
    from astroclean.io.header.color_filters import Color

__all__ = ["FrameSlot", "Grouping", "group_hdus"]

_OWN_ROLES = {"FLAGS": "flags", "UNCERT": "error"}
"""EXTNAME of what astroclean wrote to its role when it is read again."""
_NO_IMAGES = {
    "FLAGS": (
        "the flags of [{owner}]",
        "They come with that frame: `Frame.read('{file}[{owner}]').flags`.",
    ),
    "SEGMENTATION": (
        "labels of sources",
        "Read the catalogue: `Sources.read(CATALOGUE, segmentation='{file}').segmentation`.",
    ),
    "TRUTH": (
        "the planes that are true of a simulated frame",
        "Take its bits: `astropy.io.fits.getdata('{file}', 'TRUTH')`.",
    ),
}
"""EXTNAME of what astroclean wrote that is no image: what it holds, and how it is read."""
_SIMULATED = "SIMSEED"
"""Card of all HDUs that `simulate` writes."""
_IMAGE = 2
_COLORS = 4


@dataclass(frozen=True)
class FrameSlot:
    """Where one frame lies in a file."""

    science: HduInfo
    ordinal: int
    """Number of the science HDU among the science HDUs, from 1: EXTVER of its products."""
    plane: int | None = None
    """Plane of a cube."""
    companions: Mapping[str, HduInfo] = field(default_factory=dict)
    """Role (``error variance inverse_variance dq coverage flags``) to HDU; of a layer ``psf`` and
    ``fine_psf``, too."""
    color: Color | None = None
    """Of a color mosaic: the pixels that are the frame."""

    @property
    def label(self) -> str:
        """How messages name the frame within its file."""
        plane = "" if self.plane is None else f" plane {self.plane}"
        color = "" if self.color is None else f" {self.color.name}"
        return f"[{self.science.label}]{plane}{color}"

    def label_of(self, layer: str) -> str:
        """How the frame of a layer is named that belongs to this one, as ``[SUPERRES,1]``."""
        plane = "" if self.plane is None else f" plane {self.plane}"
        return f"[{layer},{self.ordinal}]{plane}"


@dataclass(frozen=True)
class Grouping:
    """The frames of a file and what is not one."""

    slots: tuple[FrameSlot, ...]
    skipped: Mapping[str, str]
    """HDU label to reason; such HDUs are copied as they are."""
    roles: tuple[HduRole, ...] = ()
    """What each HDU of the file is taken for, and why."""


def group_hdus(source: FitsSource, instrument: Instrument, address: Address) -> Grouping:
    """Sort the HDUs of a file into frames.

    Parameters
    ----------
    source : FitsSource
        Open file; companions that cannot be used are added to its notes.
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
    claims = _claims(source, instrument)
    science = [claim.hdu for claim in claims if claim.role == "science"]
    ordinals = {hdu.index: number for number, hdu in enumerate(science, 1)}
    if not address.is_whole_file:
        chosen = source.find(address)
        if len(chosen.shape) < _IMAGE:
            raise FitsReadError("HDU holds no image", where=str(address), received=chosen.shape)
        _refuse_no_image(source, chosen)
        science = [chosen]
        ordinals.setdefault(chosen.index, 1)
        claims = [_addressed(c) if c.hdu.index == chosen.index else c for c in claims]
    pairing = paired(claims)
    _add_own(source, pairing)
    for hdu in science:
        _add_layer(source, hdu, pairing)
    roles = _roles(source, claims, pairing, {hdu.index for hdu in science})
    skipped = {
        f"[{r.hdu.label}]": r.why
        for r in roles
        if r.role == "kept" and not (r.hdu.index == 0 and not r.hdu.shape and len(roles) > 1)
    }
    if not science:
        seen = "; ".join(f"{label}: {reason}" for label, reason in skipped.items())
        raise FitsReadError(
            f"no image to clean for instrument '{instrument.name}'",
            where=str(source.path),
            received=seen or "an empty primary HDU only",
            remedy="Address an HDU, as in `file.fits[1]`, or name another instrument.",
        )
    _tell(source, claims, pairing)
    slots = [
        slot
        for hdu in science
        for slot in _slots(
            source, instrument, hdu, ordinals[hdu.index], pairing.of.get(hdu.index, {})
        )
    ]
    return Grouping(tuple(slots), skipped, roles)


def _claims(source: FitsSource, instrument: Instrument) -> list[Claim]:
    """Return what each image is: science, a companion, or kept."""
    images = [h for h in source.hdus if len(h.shape) >= _IMAGE and h.belongs_to is None]
    headers = {hdu.index: source.header(hdu.index) for hdu in images}
    return settled(claims_of(images, headers, source.header(0), instrument), headers)


def _refuse_no_image(source: FitsSource, chosen: HduInfo) -> None:
    """Refuse what astroclean wrote as bits or labels, which are no light."""
    is_own = chosen.belongs_to is not None or _SIMULATED in source.header(chosen.index)
    if not is_own or chosen.name not in _NO_IMAGES:
        return
    names = {"file": source.path.name, "owner": chosen.belongs_to}
    meaning, remedy = (text.format(**names) for text in _NO_IMAGES[chosen.name])
    raise FitsReadError(
        f"holds {meaning}, not an image of the sky",
        where=f"{source.path}[{chosen.label}]",
        remedy=remedy,
    )


def _addressed(claim: Claim) -> Claim:
    why = claim.why if claim.role == "science" else "addressed"
    return replace(claim, role="science", why=why, is_doubtful=False)


def _add_own(source: FitsSource, pairing: Pairing) -> None:
    """Add the flags and the uncertainty that an earlier run wrote."""
    for hdu in source.hdus:
        if hdu.belongs_to is None or hdu.name not in _OWN_ROLES:
            continue
        owner = next((h for h in source.hdus if h.label == hdu.belongs_to), None)
        if owner is None:
            pairing.left[hdu.index] = f"there is no [{hdu.belongs_to}]"
        else:
            pairing.add(owner, _OWN_ROLES[hdu.name], hdu)


def _add_layer(source: FitsSource, chosen: HduInfo, pairing: Pairing) -> None:
    """Add the uncertainty and the PSF of a layer that an earlier run wrote, if it is addressed."""
    if chosen.layer is None or chosen.name != chosen.layer:
        return
    for hdu in source.hdus:
        if (hdu.layer, hdu.version) != (chosen.layer, chosen.version):
            continue
        if hdu.name == f"{chosen.layer}{UNCERTAINTY}":
            pairing.add(chosen, "error", hdu)
        for end, role in ((PSF, "psf"), (FINE_PSF, "fine_psf")):
            if hdu.name == f"{chosen.layer}{end}":
                pairing.of.setdefault(chosen.index, {})[role] = hdu


def _roles(
    source: FitsSource, claims: Sequence[Claim], pairing: Pairing, frames: set[int]
) -> tuple[HduRole, ...]:
    by_index = {claim.hdu.index: claim for claim in claims}
    owners = {
        hdu.index: (role, source.hdus[index])
        for index, companions in pairing.of.items()
        for role, hdu in companions.items()
    }
    found = []
    for hdu in source.hdus:
        claim = by_index.get(hdu.index)
        told = f"{claim.why}; " if claim is not None else ""
        if hdu.index in owners:
            role, owner = owners[hdu.index]
            found.append(HduRole(hdu, role, f"{told}belongs to [{owner.label}]"))
        elif hdu.index in pairing.left:
            found.append(HduRole(hdu, "kept", told + pairing.left[hdu.index]))
        elif hdu.index in frames:
            found.append(HduRole(hdu, "science", claim.why if claim else "addressed"))
        elif claim is not None:
            is_other = claim.role == "science"
            found.append(HduRole(hdu, "kept", "not addressed" if is_other else claim.why))
        else:
            found.append(HduRole(hdu, "kept", _why_no_frame(hdu)))
    return tuple(found)


def _why_no_frame(hdu: HduInfo) -> str:
    if hdu.belongs_to is not None:
        return "a product of astroclean"
    if not hdu.is_image:
        return "a table"
    return "one-dimensional" if hdu.shape else "no pixels"


def _tell(source: FitsSource, claims: Sequence[Claim], pairing: Pairing) -> None:
    """Note what a user may see otherwise: images and companions not used, pairs by order."""
    notes = [
        f"[{claim.hdu.label}] {pairing.left[claim.hdu.index]}"
        for claim in claims
        if claim.role in COMPANIONS and claim.hdu.index in pairing.left
    ]
    doubtful = ", ".join(f"[{claim.hdu.label}]" for claim in claims if claim.is_doubtful)
    if doubtful:
        notes.append(
            f"not cleaned, as nothing says that they are science: {doubtful}. "
            "Address them, or name them in an instrument file"
        )
    if pairing.by_order and pairing.of:
        notes.append("EXTVER is missing or repeated: errors and masks are paired in their order")
    source.notes.extend(note for note in notes if note not in source.notes)


def _slots(
    source: FitsSource,
    instrument: Instrument,
    science: HduInfo,
    ordinal: int,
    companions: Mapping[str, HduInfo],
) -> list[FrameSlot]:
    where = f"{source.path}[{science.label}]"
    leading = science.shape[:-2]
    if len([n for n in leading if n != 1]) > 1:
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
    if leading and science.shape[-1] <= _COLORS < min(science.shape[:-1]):
        raise FitsReadError(
            f"planes of {science.shape[-1]} columns: a picture whose color is the first axis",
            where=where,
            received=science.shape,
            remedy="Make color the last axis (NAXIS3), one plane each.",
        )
    colors = colors_of(source.merged_header(science.index), where=where)
    if not leading and not colors:
        return [FrameSlot(science, ordinal, None, companions)]
    if not leading:
        return [FrameSlot(science, ordinal, None, companions, color) for color in colors]
    if colors:
        note = f"[{science.label}] is a cube, so that cards of a color mosaic are left over"
        source.notes.extend({note} - set(source.notes))
    return [FrameSlot(science, ordinal, plane, companions) for plane in range(max(leading))]
