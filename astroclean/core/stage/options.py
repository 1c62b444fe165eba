"""Options of stages and simulators: frozen pydantic models, and what is wrong with them in words.

Attribute docstrings become help and schema.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from astroclean.core.length import Length, LengthIn
from astroclean.core.stage.limits import Limits  # noqa: TC001 - pydantic needs it
from astroclean.core.stage.resources import Resource
from astroclean.core.stage.strict import as_written
from astroclean.core.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema, ErrorDetails

__all__ = [
    "Options",
    "Problem",
    "StageOptions",
    "keys_at",
    "option_problems",
    "problems_of",
    "spelled",
    "unknown_option",
]


class Options(BaseModel):
    """Validated settings. Give every field bounds, a default and a docstring with its unit.

    Text is no number and no truth, truth is no number, and numbers are finite
    (`astroclean.core.stage.strict`).
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return as_written(handler(source), cls)


class StageOptions(Options):
    """Validated settings of one stage. Subclass it as ``Options`` of the stage.

    Give every field bounds, a default and a docstring with its unit.
    """

    limits: Limits = Field(default_factory=dict)
    """Share of the pixels above which a result is called suspect, by plane, or ``changed`` for
    replaced pixels, ``source light`` for filled light of sources, or ``below sky`` for pixels that
    are filled with values far below the sky around them; others as documented. 1 lifts a limit."""

    def record(self) -> dict[str, Any]:
        """Return the options as plain values for history, report and resume key."""
        dumped: dict[str, Any] = self.model_dump(mode="json")
        return dumped

    def resources(self) -> dict[str, Resource]:
        """Return the options that name content outside the frame."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if isinstance(value, Resource)}

    def lengths(self) -> dict[str, Length]:
        """Return the options that were told in another unit than their own."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if isinstance(value, Length)}

    def at_scale(self, pixel_scale: float | None) -> Self:
        """Return the options as plain numbers, on pixels of a size.

        Parameters
        ----------
        pixel_scale : float or None
            Side of a pixel in arcsec.

        Raises
        ------
        ValueError
            The scale is needed and not known, or a number is outside the bounds of its option.
        """
        told = self.lengths()
        if not told:
            return self
        given = {name: getattr(self, name) for name in type(self).model_fields}
        for name, length in told.items():
            field = type(self).model_fields[name]
            mark = LengthIn.of(field.annotation, field.metadata)
            finer = 1 if mark.finer is None else given[mark.finer]
            try:
                given[name] = mark.number(length, pixel_scale and pixel_scale / finer)
            except ValueError as error:
                raise ValueError(f"{name} = {length} {error}") from error
        try:
            return type(self).model_validate(given)
        except ValidationError as error:
            problems = "; ".join(option_problems(error, type(self), given))
            written = ", ".join(f"{name} = {length}" for name, length in told.items())
            raise ValueError(
                f"{written} on pixels of {pixel_scale:g} arcsec: {problems}"
            ) from error


Location = tuple[int | str, ...]
"""Keys of tables and places in lists from the outermost table to a value."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with one value."""

    location: Location
    rule: str
    """What it must be, what was received, the nearest name that there is."""


def problems_of(
    error: ValidationError, model: type[BaseModel], given: Mapping[str, Any], *, noun: str = "key"
) -> list[Problem]:
    """Return the problems of a validation, one for each value.

    Parameters
    ----------
    error : pydantic.ValidationError
        As raised by ``model``.
    model : type of BaseModel
        The outermost model, for the nearest valid spellings.
    given : mapping
        What was validated.
    noun : str
        What a key is called.

    Returns
    -------
    list of Problem
        In the order of the model.
    """
    items = error.errors(include_url=False)
    rules: dict[Location, list[str]] = {}
    received: dict[Location, str] = {}
    for item in items:
        location = _written(item, given)
        if item["type"] == "too_short" and any(
            len(i["loc"]) > 1 and i["loc"][0] == item["loc"][0] for i in items
        ):
            continue  # the list is short only because its items are wrong
        rule = _rule(item, model, location, noun)
        rules.setdefault(location, []).append(rule)
        is_told = isinstance(item["input"], (dict, list)) or "(got " in rule
        if not is_told and item["type"] not in _OF_KEYS:
            received[location] = f" (got {_shortened(_as_toml(item['input']))})"
    return [
        Problem(location, _joined(several) + received.get(location, ""))
        for location, several in rules.items()
    ]


_OF_KEYS = ("extra_forbidden", "missing")
_LONGEST = 200  # characters of a key or value
_BE = "must be "
_RULES = {
    "missing": "required but missing",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "dataclass_type": "must be a table",
    "string_type": "must be text, in quotation marks",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
}
"""Rules that pydantic tells in the words of Python."""


def _written(item: ErrorDetails, given: Any) -> Location:
    """Return the place of a problem as written: pydantic adds which part of a union complains."""
    found: list[int | str] = []
    current = given
    for part in item["loc"]:
        try:
            current = getattr(current, str(part)) if _is_model(current) else current[part]
        except (AttributeError, IndexError, KeyError, TypeError):
            if item["type"] in _OF_KEYS and part is item["loc"][-1]:
                found.append(part)
        else:
            found.append(part)
    return tuple(found)


def _as_toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _is_model(value: Any) -> bool:
    return isinstance(value, BaseModel)


def _rule(item: ErrorDetails, model: type[BaseModel], location: Location, noun: str) -> str:
    if item["type"] == "extra_forbidden":
        hint = did_you_mean(str(location[-1])[:_LONGEST], keys_at(model, location[:-1]))
        return f"no such {noun}. {hint}".rstrip()
    if item["type"] in _RULES:
        return _RULES[item["type"]]
    message = item["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return message.replace("input should be ", _BE, 1)


def _joined(rules: Sequence[str]) -> str:
    """Return one rule for a value of which one of several is to hold."""
    first, *others = dict.fromkeys(rules)
    if others and all(rule.startswith(_BE) for rule in (first, *others)):
        others = [rule.removeprefix(_BE) for rule in others]
    return " or ".join([first, *others])


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def option_problems(
    error: ValidationError, options: type[BaseModel], given: Mapping[str, Any]
) -> list[str]:
    """Return the problems of a validation as lines a person can act on.

    Parameters
    ----------
    error : pydantic.ValidationError
        As raised by ``options``.
    options : type of BaseModel
        The model, for the nearest valid spelling.
    given : mapping
        What was validated.

    Returns
    -------
    list of str
        ``key: rule (got value)``.
    """
    found = problems_of(error, options, given, noun="option")
    return [f"{spelled(problem.location)}: {problem.rule}" for problem in found]


def unknown_option(location: Location, known: Iterable[str]) -> str:
    """Return the line on an option that does not exist, with the nearest of those that do."""
    hint = did_you_mean(str(location[-1]), known)
    return f"{spelled(location)}: no such option. {hint}".rstrip()


def spelled(location: Location) -> str:
    """Return a place as people write it, such as ``stage[0].plugin``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{_shortened(part)}"
    return text.removeprefix(".")


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
