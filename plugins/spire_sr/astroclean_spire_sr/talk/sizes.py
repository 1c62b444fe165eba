"""How large the generator of the talk is."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COMPACT", "TALK", "GeneratorSize"]

_WIDEST = 8
"""Filters of the widest levels over those of the first."""


@dataclass(frozen=True)
class GeneratorSize:
    """Filters and levels of the generator."""

    filters: int
    """Of the first level; each further one has twice as many, up to 8 times as many."""
    levels: int
    """Each halves the resolution."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Filters of each level, from the finest on."""
        return tuple(self.filters * min(2**level, _WIDEST) for level in range(self.levels))

    @property
    def multiple(self) -> int:
        """Pixels of which sides of an input are multiples."""
        return int(2**self.levels)


TALK = GeneratorSize(64, 8)
"""GalaxyGAN's: one pixel of the last level is as wide as a crop of 256 pixels."""
COMPACT = GeneratorSize(32, 6)
