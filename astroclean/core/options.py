"""Options of a stage: a frozen pydantic model whose attribute docstrings become help and schema."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from astroclean.core.limits import Limits  # noqa: TC001 - pydantic needs it
from astroclean.core.resources import Resource

__all__ = ["StageOptions"]


class StageOptions(BaseModel):
    """Validated settings of one stage. Subclass it as ``Options`` of the stage.

    Give every field bounds, a default and a docstring with its unit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

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
