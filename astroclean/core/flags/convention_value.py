"""One value of a mask convention, and how names and headers are compared."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from astroclean.core.flags.planes import MaskPlane, parse_planes

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ConventionValue", "header_matches", "plain_name"]


def header_matches(rules: Mapping[str, str], lookup: Mapping[str, Any]) -> bool:
    """Return whether all rules (keyword to regular expression, without case) hold in a header."""
    return bool(rules) and all(
        key in lookup and re.search(pattern, str(lookup[key]), re.IGNORECASE) is not None
        for key, pattern in rules.items()
    )


def plain_name(text: str) -> str:
    """Return the name of a mask plane without case, punctuation and DES's prefix ``BADPIX_``."""
    return re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_").removeprefix("BADPIX_")


class ConventionValue(BaseModel):
    """One value of a convention: a bit, or a code, and the planes that it stands for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: int = Field(ge=1)
    """The bit's value (a power of two), or the code."""
    name: str
    """Name used by the convention's own documentation."""
    aliases: tuple[str, ...] = ()
    """Other names under which files declare it."""
    meaning: str = ""
    """One line for people."""
    planes: tuple[str, ...] = ()
    """Planes that reading this value sets; none where it is no defect."""
    written_for: tuple[str, ...] | None = None
    """Planes that are written as this value; by default those of ``planes``."""
    written_for_rejected: bool = False
    """Also write this value for every rejected pixel (JWST's DO_NOT_USE)."""
    unusable: bool = False
    """The observatory says by this value alone that a pixel is not to be used. Where a convention
    has such values, the others give reasons: without one of these they only inform."""

    @property
    def sets(self) -> MaskPlane:
        """The planes that reading this value sets."""
        return parse_planes(self.planes)

    @property
    def answers(self) -> MaskPlane:
        """The planes that are written as this value."""
        return parse_planes(self.planes if self.written_for is None else self.written_for)
