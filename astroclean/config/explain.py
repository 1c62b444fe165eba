"""Validation errors as lines that a person can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from astroclean.config.places import Places
from astroclean.core.stage.options import problems_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel, ValidationError

__all__ = ["explain"]

_MOST_LINES = 50


def explain(
    error: ValidationError,
    model: type[BaseModel],
    given: Mapping[str, Any],
    places: Places | None = None,
) -> list[str]:
    """Return one line for each problem.

    Parameters
    ----------
    error : pydantic.ValidationError
        As raised by ``model``.
    model : type of BaseModel
        The outermost model, for nearest spellings.
    given : mapping
        What was validated.
    places : Places, optional
        Where it was written.

    Returns
    -------
    list of str
        ``line 7, table.key: rule (got value)``.
    """
    found = problems_of(error, model, given)
    more = len(found) - _MOST_LINES
    found = found[:_MOST_LINES]
    told = (places or Places()).told(*(problem.location for problem in found))
    lines = [
        f"{place}: {problem.rule}" if place else problem.rule
        for place, problem in zip(told, found, strict=True)
    ]
    return [*lines, f"and {more} more problems"] if more > 0 else lines
