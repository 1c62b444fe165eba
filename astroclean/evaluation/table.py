"""The table in which plugins stand side by side: as text and as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Column", "Row", "Table"]

_MISSING = "-"
_WIDEST = 160
"""Characters of a line; what does not fit is told in a further block below."""


@dataclass(frozen=True)
class Column:
    """One measure of the table."""

    name: str
    """Key in the JSON and title in the text."""
    meaning: str
    """What it is, for the legend below the table."""
    unit: str = ""
    """Such as ``dB``, ``mag``, ``pix``; nothing for a ratio."""
    form: str = ".3f"
    """Format of a number, as for :func:`format`."""


@dataclass(frozen=True)
class Row:
    """The measures of one plugin in one class of pixels or sources."""

    of: str
    """The class: a mask plane, a range of S/N, ``all``."""
    values: Mapping[str, float]
    """Column to number; NaN or left out where there is none."""
    plugin: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of all plugins, with what was scored."""

    kind: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    about: Mapping[str, Any] = field(default_factory=dict)
    """Simulator or files, seed, count and the like."""

    @property
    def caption(self) -> str:
        """The kind, and what was scored, in one line."""
        about = ", ".join(f"{key} {value}" for key, value in self.about.items())
        return f"{self.kind}: {about}"

    def to_text(self) -> str:
        """Return aligned text with a legend; columns without any number are left out.

        A table too wide for a screen goes on in a further block, without the rows that tell there
        no more than the first of their plugin.
        """
        shown = [c for c in self.columns if any(_is_told(row, c) for row in self.rows)]
        text: list[str] = []
        for columns in _folded(shown, self.rows):
            rows = _telling(columns, self.rows) if text else self.rows
            text += ["", *_block(columns, rows)]
        if not self.rows:
            text.append("(nothing to score: the truth has none of what these plugins look for)")
        legend = [f"  {column.name:<{_longest(shown)}}  {column.meaning}" for column in shown]
        return "\n".join([self.caption, *text, "", *legend]).rstrip()

    def to_json(self) -> str:
        """Return the table as JSON; numbers in full, ``null`` where there is none."""
        rows = [
            {
                "plugin": row.plugin,
                "class": row.of,
                **{c.name: _plain(row.values.get(c.name)) for c in self.columns},
            }
            for row in self.rows
        ]
        columns = [
            {"name": c.name, "unit": c.unit or None, "meaning": c.meaning} for c in self.columns
        ]
        told = {"kind": self.kind, "about": dict(self.about), "columns": columns, "rows": rows}
        return json.dumps(told, indent=2, allow_nan=False)


def _folded(columns: Sequence[Column], rows: Sequence[Row]) -> list[list[Column]]:
    """Return the columns in blocks that are no wider than a line; one without any at least."""
    blocks: list[list[Column]] = [[]]
    for column in columns:
        wide = len(_block([*blocks[-1], column], rows)[1]) > _WIDEST
        if wide and blocks[-1]:
            blocks.append([])
        blocks[-1].append(column)
    return blocks


def _telling(columns: Sequence[Column], rows: Sequence[Row]) -> list[Row]:
    """Return the first row of each plugin, and those with a number of their own."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row.plugin, row)

    def tells(row: Row) -> bool:
        other = first[row.plugin]
        own = (_is_told(row, c) and _cell(row, c) != _cell(other, c) for c in columns)
        return row is other or any(own)

    return [row for row in rows if tells(row)]


def _block(columns: Sequence[Column], rows: Sequence[Row]) -> list[str]:
    """Return titles, a line, and rows."""
    titles = [f"{c.name} [{c.unit}]" if c.unit else c.name for c in columns]
    cells = [[row.plugin, row.of, *(_cell(row, c) for c in columns)] for row in rows]
    lines = [["plugin", "class", *titles], *cells]
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    text = [_aligned(line, widths) for line in lines]
    return [text[0], "  ".join("-" * width for width in widths), *text[1:]]


def _is_told(row: Row, column: Column) -> bool:
    return not math.isnan(row.values.get(column.name, math.nan))


def _cell(row: Row, column: Column) -> str:
    if not _is_told(row, column):
        return _MISSING
    return format(row.values[column.name], column.form)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    """Return names to the left, numbers to the right."""
    cells = [
        text.ljust(width) if index < 2 else text.rjust(width)  # noqa: PLR2004 - plugin and class
        for index, (text, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _longest(columns: Sequence[Column]) -> int:
    return max((len(column.name) for column in columns), default=0)


def _plain(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
