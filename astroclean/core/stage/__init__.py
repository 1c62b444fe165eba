"""Stages: what each kind must answer, and how that is held to its remit."""

from __future__ import annotations

from typing import Any

from astroclean.moved import name_of


def __getattr__(name: str) -> Any:
    return name_of(__name__, name)
