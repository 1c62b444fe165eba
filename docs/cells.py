"""Markdown tables, and what stands in them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["code", "fields", "spelled", "table"]

_SHORT_LIST = 12


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table."""
    lines = [list(head)]
    lines += [["---"] * len(lines[0])]
    lines += [[_cell(str(content)) for content in row] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _cell(text: str) -> str:
    """Return text for a cell, with code as Markdown has it, and no HTML beside it."""
    words = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", " ".join(text.split())).replace("``", "`")
    parts = words.split("`")
    parts[::2] = [part.replace("<", "&lt;").replace("*", "\\*") for part in parts[::2]]
    return "`".join(parts).replace("|", "\\|")


def code(names: Iterable[str]) -> str:
    """Return names as code."""
    return ", ".join(f"`{name}`" for name in names)


def fields(schema: dict[str, Any]) -> str:
    """Return the table of the fields of a JSON schema."""
    required = schema.get("required", [])
    rows = (
        (
            f"`{name}`",
            spelled(field),
            "required" if name in required else _default(field),
            field.get("description", ""),
        )
        for name, field in schema.get("properties", {}).items()
    )
    return table(("key", "values", "default", "meaning"), rows)


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    if value is None:
        return "none"
    if isinstance(value, list) and len(value) > _SHORT_LIST:
        return "see [mask planes](mask_planes.md)"
    return f"`{json.dumps(value)}`"


def spelled(field: dict[str, Any]) -> str:
    """Return the values that a field of a JSON schema takes, in words."""
    if "anyOf" in field:
        return " or ".join(s for part in field["anyOf"] if (s := spelled(part)) != "none")
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    kind = field.get("type", "table")
    if kind == "array":
        return f"list of {spelled(field['items'])}" if "items" in field else "list"
    words = {"string": "text", "object": "table", "boolean": "`true`, `false`", "null": "none"}
    text = "path" if field.get("format") == "path" else words.get(kind, kind)
    bounds = (("exclusiveMinimum", "above"), ("minimum", "from"))
    bounds += (("exclusiveMaximum", "below"), ("maximum", "to"))
    limits = [f"{word} {field[key]:g}" for key, word in bounds if key in field]
    return " ".join([text, *limits])
