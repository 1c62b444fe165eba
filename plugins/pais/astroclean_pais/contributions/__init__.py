"""Partial Contribution Representation: many sources in images of fixed depth."""

from __future__ import annotations

from astroclean_pais.contributions.decode import decode, find_centers
from astroclean_pais.contributions.encode import (
    PAPER,
    Contributions,
    Encoding,
    center_image,
    encode,
)

__all__ = [
    "PAPER",
    "Contributions",
    "Encoding",
    "center_image",
    "decode",
    "encode",
    "find_centers",
]
