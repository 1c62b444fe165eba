"""Which share of a frame a stage may flag or replace before its result looks implausible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from astroclean.core.flags.planes import parse_planes
from astroclean.errors import PlaneError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BELOW_SKY", "CHANGED", "PLAUSIBLE", "SOURCE_LIGHT", "Limits"]

CHANGED = "changed"
SOURCE_LIGHT = "source light"
BELOW_SKY = "below sky"
_SHARES = (CHANGED, SOURCE_LIGHT, BELOW_SKY)

PLAUSIBLE: Mapping[str, float] = {
    "COSMIC_RAY": 0.08,
    "HOT_LINE": 0.05,
    "DEAD_LINE": 0.1,
    "HOT_PIXEL": 0.03,
    "DEAD_PIXEL": 0.03,
    "PERSISTENCE": 0.05,
    "TRAIL": 0.1,
    "SATURATED": 0.05,
    "SPIKE": 0.1,
    "OVERSCAN": 0.25,
    "GHOST": 0.2,
    "CROSSTALK": 0.05,
    "BAD_PIXEL": 0.25,
    CHANGED: 0.1,
    SOURCE_LIGHT: 0.02,
    BELOW_SKY: 0.0,
}
"""Largest plausible share of a frame that one stage flags with a plane or replaces, and of the
light of sources that it fills because of flags; and of the frame that it fills with values far
below the sky. Single exposures of half an hour in orbit have
hits on 5 % of their pixels; maps of bad pixels of infrared arrays name 10 to 20 %. Other planes
have no limit."""


def _name(name: str) -> str:
    if name in _SHARES:
        return name
    try:
        return str(parse_planes(name).name)
    except PlaneError as error:
        # pydantic collects ValueErrors into one report.
        raise ValueError(f"{error} Or {', '.join(f'`{name}`' for name in _SHARES)}.") from error


# Of each name by itself, so that a wrong one is told where it was set.
Limits = dict[Annotated[str, AfterValidator(_name)], Annotated[float, Field(ge=0, le=1)]]
"""Name or alias of a plane, ``changed``, ``source light``, ``below sky`` to the largest plausible
share."""
