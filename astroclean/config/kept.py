"""What ``[products]`` asks of the stages: words of ``keep`` and products that no stage gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from astroclean.core.suggest import did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from astroclean.core.stage.options import Location
    from astroclean.core.stage.stage import Stage

__all__ = ["Offer", "product_problems"]

_OF_EVERY_RUN = (
    *("flags", "uncertainty", "sources", "votable", "tables", "regions", "stamps"),
    "residual",
)
_OF_SOME_STAGES = ("probabilities", "background", "removed")
"""Layers that a pipeline may ask for whatever its stages are: what ready pipelines share."""


@dataclass(frozen=True)
class Offer:
    """What stages may give; options do not change it."""

    words: frozenset[str] = frozenset()
    """For their layers."""
    segmentation: bool = False
    """Whether one tells which pixels are whose."""

    @classmethod
    def of(cls, stages: Iterable[Stage]) -> Offer:
        """Return what some stages may give."""
        offer = cls()
        for stage in stages:
            words = frozenset(spec.word for spec in stage.layers())
            offer |= cls(words, "segmentation" in stage.provides().fields)
        return offer

    def __or__(self, other: Offer) -> Offer:
        """Return what two may give together."""
        return Offer(self.words | other.words, self.segmentation or other.segmentation)


def product_problems(
    products: Mapping[str, object], offer: Offer, *, is_all: bool = True
) -> dict[Location, str]:
    """Return what ``[products]`` asks for and no stage of the pipeline gives.

    Parameters
    ----------
    products : mapping
        The table; what is of another type is left to the schema.
    offer : Offer
        What the stages give.
    is_all : bool
        Whether all stages are known. Another may give any word; one that is nearly another word
        is told all the same.

    Returns
    -------
    dict of location to str
        Location of the key in the pipeline to a sentence.
    """
    known = {*_OF_EVERY_RUN, *_OF_SOME_STAGES, *offer.words}
    kept = products.get("keep")
    problems: dict[Location, str] = {
        ("products", "keep", number): f"no stage of this pipeline gives '{word}'. "
        f"{did_you_mean(word, known)} It may be {', '.join(sorted(known))}."
        if is_all
        else f"no stage that is known gives '{word}'. {did_you_mean(word, known)}"
        for number, word in enumerate(kept if isinstance(kept, (list, tuple)) else ())
        if isinstance(word, str) and word not in known and (is_all or nearest(word, known))
    }
    if is_all and products.get("segmentation") is True and not offer.segmentation:
        problems["products", "segmentation"] = (
            "no stage of this pipeline tells which pixels are whose. "
            "Add one of kind `deblend`, such as `sep`."
        )
    return problems
