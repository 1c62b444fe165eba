"""What happened to a frame: one entry per stage, with its FITS form."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HistoryEntry"]

_WIDTH = 70  # what a HISTORY card holds beside its keyword


@dataclass(frozen=True)
class HistoryEntry:
    """One stage's work on a frame.

    Holds neither clock nor host, so that the same run writes the same bytes.
    """

    stage: str
    """Name of the stage in the pipeline."""
    plugin: str
    """Name of the plugin."""
    version: str
    """Version of the distribution that provides it."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options in force."""
    summary: str = ""
    """One line: what changed."""

    def cards(self) -> list[str]:
        """Return the text of the HISTORY cards, each at most 70 characters of ASCII."""
        named = self.stage if self.stage == self.plugin else f"{self.stage} ({self.plugin})"
        # No metrics: they depend on whether a frame was processed as a whole or by windows.
        lines = [f"astroclean {named} {self.version}"]
        told = {key: value for key, value in sorted(self.options.items()) if value is not None}
        lines += [f"  {key} = {value!r}" for key, value in told.items()]
        return [
            part
            for line in lines
            for part in textwrap.wrap(
                line.encode("ascii", "replace").decode("ascii"), _WIDTH, subsequent_indent="    "
            )
        ]
