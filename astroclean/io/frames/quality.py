"""What the values of a DQ mean: by the user's word, by cards of the file, by its camera."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.core.configs import list_configs
from astroclean.core.flags.bitflags import bits_convention
from astroclean.core.flags.convention_cards import convention_of_cards
from astroclean.core.flags.conventions import (
    Convention,
    header_matches,
    known_conventions,
    load_convention,
    plain_name,
)
from astroclean.io.frames.instruments import AUTO

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from astropy.io.fits import Header
    from numpy.typing import NDArray

    from astroclean.io.frames.instruments import Instrument

__all__ = [
    "MASK_KEYWORD",
    "MASK_SETTINGS",
    "Meaning",
    "declared_bits",
    "meaning_from_headers",
    "meaning_from_values",
    "note_of_unknown",
    "whole_numbers",
]

MASK_SETTINGS = ("dq", "bad_bits", "good_bits")
"""Settings of the user, one of which says what mask values mean."""

MASK_KEYWORD = "ACMASK"
"""Names the convention of a mask that astroclean wrote."""

UNKNOWN = Convention(
    name="unknown",
    title="Mask values of unknown meaning",
    source="neither the file nor its camera tells what they mean",
    values=(),
)

_BITS = 63
_FEW = 12
"""So many values are listed in a note."""


@dataclass(frozen=True)
class Meaning:
    """The convention of a DQ, and what told it."""

    convention: Convention
    why: str
    names: Mapping[int, str] = field(default_factory=dict)
    """Value of a bit to the name that the file gives it."""
    is_assumed: bool = False
    """Whether values were taken for bad of which only it is likely."""


def declared_bits(header: Header) -> tuple[dict[str, int], str]:
    """Return the mask planes that a header declares, and by which cards.

    Understood are LSST's ``MP_<name> = bit``; ``MSKNnnnn`` (name) with ``MSKMnnnn`` (value), as
    Rubin's data previews and astroclean write it; ``MSKNAMnn`` with ``MSKVALnn`` (Pan-STARRS);
    ``BITnn = bit / meaning`` (ZTF), or with the meaning as value.

    Parameters
    ----------
    header : Header
        Of the DQ.

    Returns
    -------
    (dict of str to int, str)
        Name to number of bit, and the kind of card; nothing and "" where none is declared.
    """
    cards = {str(c.keyword).upper(): (c.value, c.comment) for c in header.cards}
    found = {
        key.removeprefix("MP_"): value
        for key, (value, _) in cards.items()
        if key.startswith("MP_") and isinstance(value, int) and 0 <= value < _BITS
    }
    if found:
        return found, "MP_"
    for names, values in (("MSKN", "MSKM"), ("MSKNAM", "MSKVAL")):
        found = _named_and_valued(cards, names, values)
        if found:
            return found, names
    found = _numbered(cards)
    return found, "BITnn" if found else ""


def _named_and_valued(
    cards: Mapping[str, tuple[Any, str]], names: str, values: str
) -> dict[str, int]:
    """Return name to bit of pairs of cards; without a value the number of the card is the bit."""
    found: dict[str, int] = {}
    for key, (name, _) in cards.items():
        number = re.fullmatch(rf"{names}(\d+)", key)
        if number is None or not isinstance(name, str) or not name.strip():
            continue
        value = cards.get(f"{values}{number[1]}", (1 << min(int(number[1]), _BITS), ""))[0]
        if isinstance(value, int) and 0 < value < 1 << _BITS and not value & (value - 1):
            found[name.strip()] = value.bit_length() - 1
    return found


def _numbered(cards: Mapping[str, tuple[Any, str]]) -> dict[str, int]:
    """Return meaning to bit of ``BITnn`` cards."""
    found: dict[str, int] = {}
    for key, (value, comment) in cards.items():
        number = re.fullmatch(r"BIT_?(\d{1,2})", key)
        if number is None:
            continue
        if isinstance(value, str) and value.strip():
            found[value.strip()] = int(number[1])
        elif isinstance(value, int) and value == int(number[1]) and comment.strip():
            found[comment.strip()] = value
    return found


def meaning_from_headers(
    header: Header,
    lookup: Mapping[str, Any],
    instrument: Instrument,
    settings: Mapping[str, Any],
) -> Meaning | None:
    """Return what mask values mean as far as settings, cards and camera tell.

    Parameters
    ----------
    header : Header
        Of the DQ, with the primary's cards.
    lookup : mapping
        Cards of the DQ, of its science HDU and of the primary.
    instrument : Instrument
        Of the file.
    settings : mapping
        The user's own: one of `MASK_SETTINGS`, or none.

    Returns
    -------
    Meaning or None
        None where only the values themselves could tell.
    """
    for name in ("bad_bits", "good_bits"):
        if settings.get(name) is not None:
            convention = bits_convention(**{name: settings[name]})
            return Meaning(convention, f"setting instrument.{convention.title}")
    if settings.get("dq") not in (None, AUTO):
        return Meaning(load_convention(settings["dq"]), f"setting instrument.dq = {settings['dq']}")
    own = str(header.get(MASK_KEYWORD, "")).strip()
    if own in {"astroclean", *list_configs("conventions")}:
        return Meaning(load_convention(own), f"card {MASK_KEYWORD}")
    written = convention_of_cards(header, own) if own else None
    if written is not None:
        return Meaning(written, f"card {MASK_KEYWORD} = {own}, and the planes that the file tells")
    camera = _of_camera(lookup, instrument)
    bits, kind = declared_bits(header)
    if bits:
        return _declared(bits, kind, camera)
    return camera


def _declared(bits: Mapping[str, int], kind: str, camera: Meaning | None) -> Meaning:
    """Return the convention that knows most of the names that a file declares."""
    plain = {plain_name(name): bit for name, bit in bits.items()}
    names = {1 << bit: name for name, bit in bits.items()}
    own = camera.convention if camera is not None else None
    if own is not None and own.encoding == "codes":
        own = None
    tables = [c for c in known_conventions() if c.encoding == "bits"]

    def score(table: Convention) -> tuple[int, bool, bool]:
        known = sum(table.row_named(name) is not None for name in plain)
        return known, own is not None and table.name == own.name, table.name == "lsst"

    best = max(tables, key=score)
    if not score(best)[0]:
        best = own or UNKNOWN
    found = best.with_bits(plain)
    if own is not None and best.name == own.name and kind == "BITnn":
        # The text of a card is no fixed name; where none fits, number and camera tell the same.
        taken = {row.value for row in found.values}
        placed = {row.name for row in found.values}
        left = [r for r in own.values if r.value not in taken and r.name not in placed]
        rows = (*found.values, *left)
        found = Convention(**{**dict(own), "values": rows})
    return Meaning(found, f"{kind} cards, names as in convention '{best.name}'", names)


def _of_camera(lookup: Mapping[str, Any], instrument: Instrument) -> Meaning | None:
    """Return the convention whose header rules fit best, or the instrument's."""
    usual = None if instrument.dq in (None, AUTO) else load_convention(str(instrument.dq))
    scores = [(c.recognises(lookup), c) for c in known_conventions()]
    best = max((score for score, _ in scores), default=0)
    if usual is not None and best <= max(1, usual.recognises(lookup)):
        return Meaning(usual, f"instrument '{instrument.name}'")
    found = [c for score, c in scores if score == best]
    if not best or len(found) > 1:
        return None
    told = next(r for r in found[0].match if len(r) == best and header_matches(r, lookup))
    cards = ", ".join(f"{key} = {str(lookup[key]).strip()}" for key in told)
    return Meaning(found[0], f"header {cards}")


def meaning_from_values(strips: Iterable[NDArray[np.integer]]) -> Meaning:
    """Return what mask values mean by themselves: good and bad, or nothing that is known.

    Parameters
    ----------
    strips : iterable of (n, nx) integer
        The whole mask, in parts.

    Returns
    -------
    Meaning
        ``boolean`` where there is no value but 0 and one other that is no bit among several: 1,
        one with all bits set, or one that is no power of two. Else of unknown meaning.
    """
    found: set[int] = set()
    for strip in strips:
        found.update(int(v) for v in np.unique(strip))
        if len(found - {0}) > 1:
            break
    others = found - {0}
    value = next(iter(others), 1)
    is_bit = value > 1 and not value & (value - 1)
    if len(others) > 1 or is_bit:
        return Meaning(UNKNOWN, UNKNOWN.source)
    why = f"values 0 and {value} alone"
    if value != 1:
        why += f", of which {value} is taken as bad"
    return Meaning(load_convention("boolean"), why, is_assumed=value != 1)


def note_of_unknown(meaning: Meaning, counts: Mapping[int, int]) -> str:
    """Return what is to be said of mask values whose meaning is not known.

    Parameters
    ----------
    meaning : Meaning
        Of the DQ.
    counts : mapping of int to int
        Value to number of pixels, not empty.

    Returns
    -------
    str
        One line, with the remedy.
    """
    is_bits = meaning.convention.encoding == "bits"
    listed = []
    for value, count in sorted(counts.items())[:_FEW]:
        name = meaning.names.get(value)
        what = f"bit {value.bit_length() - 1} ({value})" if is_bits else f"code {value}"
        pixels = f"{count} pixel{'s' if count != 1 else ''}"
        listed.append(f"{what}{f' {name}' if name else ''}: {pixels}")
    if len(counts) > _FEW:
        listed.append(f"{len(counts) - _FEW} more")
    where = (
        UNKNOWN.source
        if meaning.convention.name == UNKNOWN.name
        else f"no meaning in convention '{meaning.convention.name}' ({meaning.why})"
    )
    example = ",".join(str(value) for value in sorted(counts)[:2])
    remedy = (
        f'If some are bad: `[instrument] bad_bits = "{example}"`, or name a convention: `dq`.'
        if is_bits
        else "If some are bad, name a convention of your own: `[instrument] dq`."
    )
    return f"DQ values that reject nothing: {'; '.join(listed)}: {where}. {remedy}"


def whole_numbers(values: NDArray[Any]) -> NDArray[np.integer]:
    """Return mask values as integers; masks stored as floats, or with BLANK, hold NaN for 0."""
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=0).astype(np.int64)
    elif values.dtype.kind == "b":
        values = values.astype(np.uint8)
    whole: NDArray[np.integer] = values
    return whole
