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
    if len(parts) > 1 or (counts and not cards):
        raise StageError(
            "was read by several amplifiers, each with an overscan and a gain of its own",
            where=where,
            received=", ".join([*counts, *cards][:6]),
            remedy="Split it into one HDU an amplifier first.",
        )


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
    section = parse_section(text)
    if section is None:
        raise StageError(
            f"{keyword} is no section [x1:x2,y1:y2]",
            where=where,
            received=text,
            remedy=f"Give the option `{option}`, or 'none'.",
        )
    ny, nx = frame.shape
    if section[0].stop > ny or section[1].stop > nx:
        raise StageError(
            f"{keyword} does not lie in the frame of {nx} x {ny} pixels",
            where=where,
            received=text,
            remedy=f"Is the frame raw, and of this camera? Give the option `{option}`, or 'none'.",
        )
    return section


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
