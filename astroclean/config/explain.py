"""Validation errors as lines that a person can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from astroclean.core.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import ValidationError

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
            known = _keys_at(model, item["loc"][:-1])
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


def _keys_at(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Return the keys of the table at a path of the outermost model."""
    current: Any = model
    for part in location:
        if isinstance(part, int):
            continue
        fields = {f.alias or name: f for name, f in current.model_fields.items()}
        inner = _model_in(fields[part].annotation) if part in fields else None
        if inner is None:
            return []
        current = inner
    return [field.alias or name for name, field in current.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model within ``X | None``, ``tuple[X, ...]`` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
