"""Find the spelling that a user probably meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["did_you_mean"]


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return a sentence that names the nearest known spelling, or all of a short list.

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
    folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(wrong.lower(), folded, n=1, cutoff=0.6)
    if near:
        return f"Did you mean '{folded[near[0]]}'?"
    return "Known: " + ", ".join(sorted(folded.values())) + "." if folded else ""
