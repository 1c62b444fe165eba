"""Validation errors as lines that a person can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astroclean.core.stage.options import keys_at
from astroclean.core.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel, ValidationError

__all__ = ["explain"]

_MOST_LINES = 50
_LONGEST = 200  # characters of a key or value


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one line for each problem.

    Parameters
    ----------
    error : pydantic.ValidationError
        As raised by ``model``.
    model : type of BaseModel
        The outermost model, for nearest spellings.

    Returns
    -------
    list of str
        ``table.key: rule (got value)``.
    """
    lines = []
    items = error.errors(include_url=False)
    more = len(items) - _MOST_LINES
    items = items[:_MOST_LINES]
    for item in items:
        path = _spelled(item["loc"])
        if item["type"] == "too_short" and any(
            len(i["loc"]) > 1 and i["loc"][0] == item["loc"][0] for i in items
        ):
            continue  # the list is short only because its items are wrong
        if item["type"] == "extra_forbidden":
            known = keys_at(model, item["loc"][:-1])
            lines.append(
                f"{path}: no such key. {did_you_mean(str(item['loc'][-1])[:_LONGEST], known)}"
            )
        elif item["type"] == "missing":
            lines.append(f"{path}: required but missing")
        else:
            message = item["msg"].removeprefix("Value error, ")
            is_told = isinstance(item["input"], (dict, list)) or "(got " in message
            received = "" if is_told else f" (got {_shortened(repr(item['input']))})"
            start = f"{path}: " if path else ""
            lines.append(f"{start}{message[:1].lower()}{message[1:]}{received}")
    return [*lines, f"and {more} more problems"] if more > 0 else lines


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _spelled(location: Sequence[int | str]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{_shortened(part)}"
    return text.removeprefix(".")
