"""Read TOML within limits: the parser of the standard library has none of depth, keys or digits."""

from __future__ import annotations

import re
import tomllib
from typing import Any

__all__ = ["TomlError", "lines_of_keys", "parsed_toml"]

_DEEPEST = 32
"""Tables and lists within each other, and parts of a key."""
_DIGITS = 100
"""Of an integer."""
_LONGEST_STATEMENT = 300
"""Lines of one list: each is tried for its end."""
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


def lines_of_keys(text: str) -> dict[tuple[str | int, ...], int]:
    """Return where the keys of a text are written, for messages: `tomllib` does not tell.

    Parameters
    ----------
    text : str
        TOML that can be parsed.

    Returns
    -------
    dict of tuple to int
        Keys and places in arrays of tables, from the outermost table, to the line, from 1; of what
        is within an inline table or a list, the line on which that begins.
    """
    found: dict[tuple[str | int, ...], int] = {}
    counts: dict[tuple[str | int, ...], int] = {}
    table: tuple[str | int, ...] = ()
    statement: list[str] = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        statement.append(line)
        if len(statement) > _LONGEST_STATEMENT:
            break
        try:  # a statement ends where it is TOML by itself
            content = tomllib.loads("\n".join(statement))
        except ValueError:
            continue
        first = number + 1 - len(statement)
        is_header = statement[0].lstrip().startswith("[")
        if is_header:
            table = _opened(content, counts)
            found[table] = first
        else:
            _note_keys(content, table, first, found)
        statement = []
    return found


def _opened(
    content: dict[str, Any], counts: dict[tuple[str | int, ...], int]
) -> tuple[str | int, ...]:
    """Return the table that a header opens; one of an array is counted."""
    path: tuple[str | int, ...] = ()
    while content:
        ((key, inner),) = content.items()
        path = (*path, key)
        if isinstance(inner, list):
            counts[path] = counts.get(path, -1) + 1
            inner = inner[0]
        if path in counts:  # of an array: the last table of it is meant
            path = (*path, counts[path])
        content = inner
    return path


def _note_keys(
    content: dict[str, Any],
    table: tuple[str | int, ...],
    line: int,
    found: dict[tuple[str | int, ...], int],
) -> None:
    for key, value in content.items():
        found.setdefault((*table, key), line)
        if isinstance(value, dict):
            _note_keys(value, (*table, key), line, found)


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
