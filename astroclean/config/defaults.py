"""Defaults that the command line tells without reading a pipeline; importing this takes no time."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DEFAULT_OUTPUT"]

DEFAULT_OUTPUT = Path("astroclean_out")
"""Folder in which a run writes where none is named."""
