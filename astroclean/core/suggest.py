"""Find the spelling that a user probably meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest"]

_SHORT_LIST = 40


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return a sentence that names the nearest known spelling, or all of a list that is not long.

    Parameters
    ----------
    wrong : str
        What the user wrote.
    known : iterable of str
        Valid spellings.

    Returns
    -------
    str
        ``Did you mean 'x'?``, or ``Known: a, b, c.`` when nothing is near.
    """
    near = nearest(wrong, known := list(known))
    if near is not None:
        return f"Did you mean '{near}'?"
    listed = sorted(name for name in set(known) if name)
    return f"Known: {', '.join(listed)}." if 0 < len(listed) <= _SHORT_LIST else ""


def nearest(wrong: str, known: Iterable[str]) -> str | None:
    """Return the known spelling that is near what the user wrote, or None."""
    folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(wrong.lower(), folded, n=1, cutoff=0.6)
    return folded[near[0]] if near else None
