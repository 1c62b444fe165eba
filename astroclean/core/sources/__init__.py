"""Sources: catalogues with images and labels, and the holes that they leave."""

from __future__ import annotations

from typing import Any

from astroclean.moved import name_of


def __getattr__(name: str) -> Any:
    return name_of(__name__, name)
