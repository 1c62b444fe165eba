"""Read TOML within limits: the parser of the standard library has none of depth, keys or digits."""

from __future__ import annotations

import re
import tomllib
from typing import Any

__all__ = ["TomlError", "parsed_toml"]

_DEEPEST = 32
"""Tables and lists within each other, and parts of a key."""
_DIGITS = 100
"""Of an integer."""
_PART = re.compile(r"[ \t]*[\w-]+[ \t]*")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'')
_SHOWN = 60


class TomlError(ValueError):
    """A text is not TOML, or is nested deeper or has larger numbers than is allowed."""


def parsed_toml(text: str) -> dict[str, Any]:
    """Return the tables of a text.

    Parameters
    ----------
    text : str
        TOML.

    Returns
    -------
    dict
        Its tables.

    Raises
    ------
    TomlError
        Not TOML; nested deeper than 32 levels; a key of more parts; an integer of more than
        100 digits.
    """
    _refuse_long_keys(text)
    try:
        content = tomllib.loads(text)
    except RecursionError as error:
        raise TomlError(f"nested deeper than {_DEEPEST} levels") from error
    except ValueError as error:  # of TOML, or of Python for an integer of thousands of digits
        raise TomlError(str(error)) from error
    _refuse_extremes(content)
    return content


def _refuse_long_keys(text: str) -> None:
    """Refuse keys for which the parser would take minutes."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") <= _DEEPEST:
            continue
        # Between two dots of a key there is one part, and nothing else.
        run = 0
        for piece in _QUOTED.sub("q", line).split("."):
            run = run + 1 if _PART.fullmatch(piece) and not piece.strip().isdigit() else 0
            if run > _DEEPEST:
                raise TomlError(f"a key of more than {_DEEPEST} parts (at line {number})")


def _refuse_extremes(content: dict[str, Any]) -> None:
    left: list[tuple[int, str, Any]] = [(0, "", content)]
    while left:
        depth, key, value = left.pop()
        if depth > _DEEPEST:
            raise TomlError(f"nested deeper than {_DEEPEST} levels (at {key[:_SHOWN]})")
        if isinstance(value, dict):
            left += [(depth + 1, name, inner) for name, inner in value.items()]
        elif isinstance(value, list):
            left += [(depth + 1, key, inner) for inner in value]
        elif isinstance(value, int) and abs(value) >= 10**_DIGITS:
            raise TomlError(f"an integer of more than {_DIGITS} digits (at {key[:_SHOWN]})")
