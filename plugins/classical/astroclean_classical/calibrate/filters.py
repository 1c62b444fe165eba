"""Which filter light went through: all wheels that hold one, joined as ``ND3+R``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astroclean.core.image.frame import Frame

__all__ = ["filter_of"]

_WHEEL = re.compile(
    r"FILT(?:ER|NAM|NAME)?_?[A-D0-9]?|FILTERS|(?:HIERARCH )?ESO INS FILT\d NAME", re.IGNORECASE
)
# GMOS has "open1-6", HST "CLEAR1L".
_EMPTY = re.compile(
    r"(?:clear|open|none|empty|blank|air|n/?a|null|no filter)[\s\d_-]*[ls]?|-*", re.IGNORECASE
)


def filter_of(frame: Frame) -> str | None:
    """Return the filter of a frame, of all its wheels.

    ``Detector.filter`` is that of one wheel. A flat of it alone is not that of a frame behind two
    filters.

    Parameters
    ----------
    frame : Frame
        Its header and detector count.

    Returns
    -------
    str or None
        Names in the order of the cards, joined by ``+``; wheels that are clear, open or empty
        count nothing where another holds a filter. What ``--set instrument.filter`` or the rule
        of an instrument gives, and no card of a wheel says, stands alone. None: not told.
    """
    told = (frame.detector.filter or "").strip()
    cards = _wheels(frame.meta)
    if told and told not in cards:
        return told
    held = [text for text in cards if _EMPTY.fullmatch(text) is None]
    return "+".join(_without_parts(held)) or told or None


def _wheels(meta: Mapping[str, Any]) -> list[str]:
    """Return the texts of the cards of wheels, in order, each once."""
    cards = {str(key).upper(): meta[key] for key in meta if _WHEEL.fullmatch(str(key))}
    # Beside the name of a filter a number is the place that it has in its wheel.
    is_named = isinstance(cards.get("FILTER"), str) and cards["FILTER"].strip() != ""
    texts = [
        str(cards[key]).strip()
        for key in sorted(cards, key=lambda key: (key != "FILTER", key))
        if isinstance(cards[key], str)
        or (isinstance(cards[key], int) and not isinstance(cards[key], bool) and not is_named)
    ]
    return list(dict.fromkeys(text for text in texts if text))


def _without_parts(names: list[str]) -> list[str]:
    """Leave out names that another card holds among its own: FILTERS = 'ND3 R'."""
    words = [frozenset(re.split(r"[\s,;+/|]+", name.upper())) for name in names]
    return [
        name
        for number, name in enumerate(names)
        if not any(
            words[number] < other or (words[number] == other and place < number)
            for place, other in enumerate(words)
        )
    ]
