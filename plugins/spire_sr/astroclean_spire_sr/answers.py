"""What the numbers of the default network mean."""

from __future__ import annotations

__all__ = ["LARGEST", "SCALE"]

SCALE = 10.0
"""mJy: the map is this times the exponential of the first answer."""
LARGEST = 6.5
"""Largest logarithm, 6.6 Jy."""
