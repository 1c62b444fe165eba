"""Where a value of a pipeline was written: line, table, stage, or the layer that set it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from astroclean.core.regular import read_text
from astroclean.core.stage.options import spelled
from astroclean.core.toml import lines_of_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from astroclean.core.stage.options import Location

__all__ = ["OF_COMMAND_LINE", "Places"]

_LARGEST = 1 << 18  # bytes; lines are told of files that people write
OF_COMMAND_LINE = "--set"
_PIPELINE = "pipeline"


@dataclass(frozen=True)
class Places:
    """Tells where something of a pipeline is, in the words of who wrote it."""

    file: Path | None = None
    """Of the pipeline, where it is one."""
    stages: Sequence[tuple[str, str]] = ()
    """Name and plugin of each stage, as written."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """``table.key`` or ``stage.key`` to the layer that set it: the pipeline, a variable,
    ``--set``."""

    def where(self) -> str:
        """Return the file, or what stands for one."""
        return _PIPELINE if self.file is None else str(self.file)

    def told(self, *locations: Location) -> list[str]:
        """Return a text for each location, such as ``line 7, stage 2 'lacosmic', sigclip``."""
        lines = self._lines()
        return [self._told(location, lines) for location in locations]

    def _told(self, location: Location, lines: Mapping[Location, int]) -> str:
        words = self._words(location)
        layer, key = self._layer(location)
        if layer == OF_COMMAND_LINE:
            stage = self._words(location[:2]) if location[0] == "stage" else ""
            return f"--set {key}, {stage}".removesuffix(", ")
        if layer != _PIPELINE:
            return f"{layer}, {words}"
        ends = range(len(location), 0, -1)
        line = next((lines[location[:end]] for end in ends if location[:end] in lines), None)
        return f"line {line}, {words}" if line is not None and words else words

    def _words(self, location: Location) -> str:
        match location:
            case ["stage", int(number), *rest] if number < len(self.stages):
                name, plugin = self.stages[number]
                of = f" (plugin {plugin})" if plugin and name and plugin != name else ""
                stage = f"stage {number + 1}{f' {name!r}' if name else ''}{of}"
                key = spelled(tuple(rest[1:] if rest[:1] == ["options"] else rest))
                return f"{stage}, {key}" if key else stage
            case _:
                return spelled(location)

    def _layer(self, location: Location) -> tuple[str, str]:
        """Return the layer that set a value, and the key by which it is set."""
        match location:
            case ["stage", int(number), "options", *keys] if number < len(self.stages):
                key = spelled((self.stages[number][0], *keys))
            case _:
                key = spelled(location)
        parts = key.split(".")
        above = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
        return next((self.origins[k] for k in above if k in self.origins), _PIPELINE), key

    def _lines(self) -> dict[Any, int]:
        if self.file is None:
            return {}
        try:
            return lines_of_keys(read_text(self.file, limit=_LARGEST))
        except (OSError, ValueError):  # the file was read before: it has changed, or is very large
            return {}
