"""What the fit of a source says of itself: named bits."""

from __future__ import annotations

import enum
from typing import Self

__all__ = ["FitFlag"]


class FitFlag(enum.IntFlag):
    """One bit of the column ``flags``: (bit, meaning)."""

    meaning: str

    def __new__(cls, bit: int, meaning: str = "") -> Self:
        """Make a member from its row of the table."""
        member = int.__new__(cls, 1 << bit)
        member._value_ = 1 << bit
        member.meaning = meaning
        return member

    NO_PIXELS = (0, "no usable pixel has light of the source; without a prior no flux")
    MASKED_CORE = (1, "the brightest pixel, or a quarter of the core's light, is not usable")
    SATURATED = (2, "a pixel of the core is saturated")
    BORDER = (3, "over 10 % of the light lies beyond the border of the frame")
    DEGENERATE = (4, "neighbors make the flux error over 10 times what it would be alone")
    NEGATIVE = (5, "negative flux")
    POOR_FIT = (6, "the models do not explain the pixels: chi2 too large")

    @property
    def bit(self) -> int:
        """Number of the bit (single flags only)."""
        return self.bit_length() - 1

    @classmethod
    def described(cls) -> str:
        """Return numbers and names of all bits, for the description of a column."""
        return ", ".join(f"{flag.bit} {flag.name}" for flag in cls)
