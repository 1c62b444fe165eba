"""Sections of an image as headers tell them: ``[x1:x2,y1:y2]``, from 1, ends included (IRAF)."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["parse_section", "section_numbers", "section_text"]

_SECTION = re.compile(r"\[(\d+):(\d+),(\d+):(\d+)\]")


def section_numbers(text: Any) -> tuple[int, int, int, int] | None:
    """Return (x1, x2, y1, y2) as a text has them; None where it is no section."""
    numbers = _SECTION.fullmatch(re.sub(r"\s", "", str(text)))
    if numbers is None:
        return None
    x1, x2, y1, y2 = (int(n) for n in numbers.groups())
    return x1, x2, y1, y2


def parse_section(text: Any) -> tuple[slice, slice] | None:
    """Return the rows and columns that a section names.

    Parameters
    ----------
    text : object
        Value of a card, such as ``[  17: 528,   1: 520]``.

    Returns
    -------
    (slice, slice) or None
        Rows and columns, from 0, without step; None where the text is no such section: with a
        step, turned round, or from 0.
    """
    numbers = section_numbers(text)
    if numbers is None:
        return None
    x1, x2, y1, y2 = numbers
    if not (1 <= x1 <= x2 and 1 <= y1 <= y2):
        return None
    return slice(y1 - 1, y2), slice(x1 - 1, x2)


def section_text(rows: slice, columns: slice) -> str:
    """Return the section of rows and columns, as a card has it."""
    return f"[{columns.start + 1}:{columns.stop},{rows.start + 1}:{rows.stop}]"
