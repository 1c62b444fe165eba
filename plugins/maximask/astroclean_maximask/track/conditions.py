"""The conditions of an exposure, in the order of the compact screening network's outputs."""

from __future__ import annotations

from astroclean.simulate.tracking import CHARGE, DEFOCUS, KINDS

__all__ = ["CONDITIONS", "REASONS", "condition_of"]

CONDITIONS = ("good", "tracking", DEFOCUS, CHARGE)
REASONS = {
    "tracking": "the telescope moved during the exposure",
    DEFOCUS: "the telescope was out of focus",
    CHARGE: "charge was lost when the detector was read out",
}
"""What the report says of each condition but the good one."""


def condition_of(kind: str) -> int:
    """Return the output for what a simulator calls the kind of a spoiled exposure."""
    if kind in KINDS:
        return CONDITIONS.index("tracking")
    return CONDITIONS.index(kind) if kind in CONDITIONS else 0
