"""Words of ``[products] keep``: which there are, and which name nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astroclean.core.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["kept_problems"]

_OF_EVERY_RUN = ("flags", "uncertainty", "sources", "tables", "regions", "stamps", "residual")
_OF_SOME_STAGES = ("probabilities", "background", "removed")
"""Layers that a pipeline may ask for whatever its stages are: what ready pipelines share."""


def kept_problems(kept: Iterable[object], declared: Iterable[str]) -> dict[int, str]:
    """Return what is wrong with the words of a pipeline.

    Parameters
    ----------
    kept : iterable
        Words; what is no text is left to the schema.
    declared : iterable of str
        Words for the layers that its stages may give.

    Returns
    -------
    dict of int to str
        Index of a word that names nothing to a sentence.
    """
    known = {*_OF_EVERY_RUN, *_OF_SOME_STAGES, *declared}
    return {
        number: f"no stage of this pipeline gives '{word}'. {did_you_mean(word, known)} "
        f"It may be {', '.join(sorted(known))}."
        for number, word in enumerate(kept)
        if isinstance(word, str) and word not in known
    }
