"""Options of stages and simulators: frozen pydantic models, and what is wrong with them in words.

Attribute docstrings become help and schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ConfigDict, Field

from astroclean.core.stage.limits import Limits  # noqa: TC001 - pydantic needs it
from astroclean.core.stage.resources import Resource
from astroclean.core.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import ValidationError

__all__ = ["Options", "StageOptions", "keys_at", "option_problems", "unknown_option"]


class Options(BaseModel):
    """Validated settings. Give every field bounds, a default and a docstring with its unit."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class StageOptions(Options):
    """Validated settings of one stage. Subclass it as ``Options`` of the stage.

    Give every field bounds, a default and a docstring with its unit.
    """

    limits: Limits = Field(default_factory=dict)
    """Share of the pixels above which a result is called suspect, by plane, or ``changed`` for
    replaced pixels, or ``source light`` for filled light of sources; others as documented. 1 lifts
    a limit."""

    def record(self) -> dict[str, Any]:
        """Return the options as plain values for history, report and resume key."""
        dumped: dict[str, Any] = self.model_dump(mode="json")
        return dumped

    def resources(self) -> dict[str, Resource]:
        """Return the options that name content outside the frame."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if isinstance(value, Resource)}


def option_problems(error: ValidationError, options: type[BaseModel]) -> list[str]:
    """Return the problems of a validation as lines a person can act on.

    Parameters
    ----------
    error : pydantic.ValidationError
        As raised by ``options``.
    options : type of BaseModel
        The model, for the nearest valid spelling.

    Returns
    -------
    list of str
        ``key: rule (got value)``.
    """
    lines = []
    for item in error.errors(include_url=False):
        if item["type"] == "extra_forbidden":
            lines.append(unknown_option(item["loc"], keys_at(options, item["loc"][:-1])))
        else:
            key = _path(item["loc"])
            message = item["msg"].removeprefix("Value error, ")
            received = "" if "(got " in message else f" (got {item['input']!r})"
            lines.append(f"{key}: {message[:1].lower()}{message[1:]}{received}")
    return lines


def unknown_option(location: Sequence[int | str], known: Iterable[str]) -> str:
    """Return the line on an option that does not exist, with the nearest of those that do."""
    hint = did_you_mean(str(location[-1]), known)
    return f"{_path(location)}: no such option. {hint}".rstrip()


def _path(location: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in location)


def keys_at(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Return the keys of the table at a path of the outermost model; none where there is none."""
    current: Any = model
    for part in location:
        fields = {f.alias or name: f for name, f in current.model_fields.items()}
        if part not in fields:  # a place in a list, or a name in a table that takes any
            continue
        current = _model_in(fields[part].annotation)
        if current is None:
            return []
    return [field.alias or name for name, field in current.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model within ``X | None``, ``tuple[X, ...]`` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
