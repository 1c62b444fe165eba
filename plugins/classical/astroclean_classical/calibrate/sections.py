"""Where the overscan of a raw frame lies, and which pixels saw the sky."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from astroclean.core.image.sections import parse_section, section_text
from astroclean.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astroclean.core.image.frame import Frame

__all__ = ["Sections", "refuse_amplifiers", "sections_of"]

Section = tuple[slice, slice]

_OVERSCAN_CARDS = ("BIASSEC",)
_TRIM_CARDS = ("TRIMSEC", "DATASEC")
# Sections of one amplifier of several: DECam (BIASSECA), NOAO (BSEC11), LBT, Keck, WIYN.
_OF_AMPLIFIERS = re.compile(r"(?:BIASSEC|DATASEC|TRIMSEC|AMPSEC|DETSEC)[A-H1-8]|[BADCT]SEC\d\d")
# Values of which each amplifier has its own, with the number or letter of one, or without.
_AMPLIFIER_VALUE = re.compile(
    r"(BIASSEC|GAIN|EGAIN|CCDGAIN|RDNOISE|READNOIS|READNSE)([A-H1-8]?)"
    r"|ESO DET OUT(\d+) (CONAD|GAIN|RON)"
)
_SEVERAL_NUMBERS = re.compile(r"\s*[(\[]?\s*[-+]?\.?\d[\d.eE+-]*(?:\s*[,; ]\s*[-+]?\.?\d.*)")
_COUNTS = ("NAMPS", "NUMAMP", "NUMAMPS", "NAMPLIFS")


@dataclass(frozen=True)
class Sections:
    """Rows and columns of a raw frame."""

    overscan: Section | None
    """None: nothing is taken off by it."""
    trim: Section
    """What is left."""
    shape: tuple[int, int]
    """Of the raw frame."""

    @property
    def axis(self) -> int:
        """Axis along which the overscan is short: over it the level is taken."""
        assert self.overscan is not None
        rows, columns = self.overscan
        return 0 if columns.stop - columns.start > rows.stop - rows.start else 1

    @property
    def trimmed(self) -> tuple[int, int]:
        """(ny, nx) of what is left."""
        rows, columns = self.trim
        return rows.stop - rows.start, columns.stop - columns.start

    @property
    def overscan_text(self) -> str:
        """As a card has it."""
        return "" if self.overscan is None else section_text(*self.overscan)

    @property
    def trim_text(self) -> str:
        """As a card has it."""
        return section_text(*self.trim)


def refuse_amplifiers(meta: Mapping[str, Any], where: str) -> None:
    """Raise where the frame was read by several amplifiers, each with level and gain of its own."""
    cards = sorted(key for key in map(str, meta) if _OF_AMPLIFIERS.fullmatch(key))
    parts = {re.sub(r".*?(\d+|[A-H])$", r"\1", card) for card in cards}
    counts = [f"{key} = {meta[key]}" for key in _COUNTS if _more_than_one(meta.get(key))]
    differing = _differing_values(meta)
    if len(parts) > 1 or (counts and not cards) or differing:
        raise StageError(
            "was read by several amplifiers, each with an overscan and a gain of its own",
            where=where,
            received=", ".join([*counts, *differing, *cards][:6]),
            remedy="Split it into one HDU an amplifier first.",
        )


def _differing_values(meta: Mapping[str, Any]) -> list[str]:
    """Return the cards of values that differ among amplifiers: GAIN = '1.6,1.7', or GAIN2."""
    values: dict[str, dict[str, str]] = {}
    for key in map(str, meta):
        found = _AMPLIFIER_VALUE.fullmatch(key)
        if found is None:
            continue
        text = re.sub(r"\s", "", str(meta[key])) if found[1] == "BIASSEC" else str(meta[key])
        if not text.strip():
            continue
        if found[1] != "BIASSEC" and _SEVERAL_NUMBERS.fullmatch(text):
            return [f"{key} = '{text}'"]
        values.setdefault(found[1] or found[4], {})[key] = text
    for told in values.values():
        if len({_number_or_text(text) for text in told.values()}) > 1:
            return [f"{key} = '{text}'" for key, text in told.items()]
    return []


def _number_or_text(text: str) -> float | str:
    try:
        return round(float(text), 6)
    except ValueError:
        return text.strip()


def _more_than_one(value: Any) -> bool:
    try:
        return int(value) > 1
    except (TypeError, ValueError):
        return False


def sections_of(frame: Frame, *, overscan: str, trim: str, where: str) -> Sections:
    """Return the sections of a raw frame.

    Parameters
    ----------
    frame : Frame
        Raw; its shape and header count.
    overscan, trim : str
        ``header``, ``none``, or a section ``[x1:x2,y1:y2]``.
    where : str
        For messages.

    Returns
    -------
    Sections
        Checked against the shape of the frame and each other.

    Raises
    ------
    StageError
        A section is none, lies outside the frame, or the overscan among exposed pixels or beside
        other rows than those that are left.
    """
    ny, nx = frame.shape
    level = _section("overscan", overscan, _OVERSCAN_CARDS, frame, where)
    left = _section("trim", trim, _TRIM_CARDS, frame, where)
    sections = Sections(level, left or (slice(0, ny), slice(0, nx)), frame.shape)
    if level is not None:
        _check_pair(sections, where)
    return sections


def _section(
    option: str, given: str, cards: tuple[str, ...], frame: Frame, where: str
) -> Section | None:
    if given == "none":
        return None
    keyword, text = f"option `{option}`", given
    if given == "header":
        told = [(card, str(frame.meta.get(card, "")).strip()) for card in cards]
        keyword, text = next(((card, value) for card, value in told if value), ("", ""))
        if not text:
            return None
    ny, nx = frame.shape
    section = parse_section(_in_full(text, ny, nx))
    if section is None:
        raise StageError(
            f"{keyword} is no section [x1:x2,y1:y2]",
            where=where,
            received=text,
            remedy=f"Give the option `{option}`, or 'none'.",
        )
    if section[0].stop > ny or section[1].stop > nx:
        raise StageError(
            f"{keyword} does not lie in the frame of {nx} x {ny} pixels",
            where=where,
            received=text,
            remedy=f"Is the frame raw, and of this camera? Give the option `{option}`, or 'none'.",
        )
    return section


def _in_full(text: str, ny: int, nx: int) -> str:
    """Return a section with what IRAF means by ``*``: all columns or rows."""
    columns, comma, rows = text.strip().strip("[]").partition(",")
    if not comma or "*" not in text:
        return text
    full = (f"1:{n}" if part.strip() == "*" else part for part, n in ((columns, nx), (rows, ny)))
    return f"[{','.join(full)}]"


def _check_pair(sections: Sections, where: str) -> None:
    assert sections.overscan is not None
    pairs = list(zip(sections.overscan, sections.trim, strict=True))
    text = f"overscan {sections.overscan_text}, trim {sections.trim_text}"
    if all(one.start < other.stop and other.start < one.stop for one, other in pairs):
        raise StageError(
            "the overscan lies among the pixels that are left as exposed",
            where=where,
            received=text,
            remedy="Give the options `overscan` and `trim` as they are of this camera.",
        )
    along, left = pairs[0] if sections.axis == 1 else pairs[1]
    if along.start > left.start or along.stop < left.stop:
        raise StageError(
            f"the overscan tells no level of some {'rows' if sections.axis == 1 else 'columns'} "
            "that are left",
            where=where,
            received=text,
            remedy="Give an `overscan` as long as the image, or a smaller `trim`.",
        )
