"""Arrays of one length that are kept together: one value a source, entry or frame."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Columns"]


class Columns:
    """Base of dataclasses whose fields are arrays of one length, one value a row."""

    def where(self, kept: NDArray[np.bool_]) -> Self:
        """Return some of the rows."""
        return replace(self, **{f.name: getattr(self, f.name)[kept] for f in fields(self)})  # type: ignore[type-var, arg-type]

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of all parts."""
        names = [f.name for f in fields(cls)]  # type: ignore[arg-type]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
