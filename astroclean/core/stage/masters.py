"""What a stage that makes masters of raw frames gives: masters, and frames that it left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astroclean.core.image.frame import Frame

__all__ = ["LeftOut", "MadeMaster"]


@dataclass(frozen=True, eq=False)
class MadeMaster:
    """One master, to be written to a file of its own."""

    name: str
    """Stem of the file."""
    frames: Sequence[Frame]
    """One for each HDU of the raw files, in their order, with the header that is written."""
    parts: tuple[str, ...]
    """Names of the raw frames that it was made of."""
    notes: tuple[str, ...] = field(default=())
    """What is to be known of it."""


@dataclass(frozen=True)
class LeftOut:
    """A raw frame of which no master was made."""

    name: str
    why: str
