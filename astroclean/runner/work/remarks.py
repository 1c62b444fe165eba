"""`Remarks`: what a user should know of a file, and what of it makes the result doubtful."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from astroclean.errors import AstrocleanWarning, SuspectWarning

if TYPE_CHECKING:
    import warnings
    from collections.abc import Sequence

__all__ = ["Remarks"]


@dataclass(eq=False)
class Remarks:
    """Texts that stages leave, each once, in order."""

    notes: list[str] = field(default_factory=list)
    suspect: list[str] = field(default_factory=list)
    """Why the result is implausible."""

    def __add__(self, other: Remarks) -> Remarks:
        """Return both, each text once."""
        return Remarks(
            list(dict.fromkeys([*self.notes, *other.notes])),
            list(dict.fromkeys([*self.suspect, *other.suspect])),
        )

    def add_warnings(self, caught: Sequence[warnings.WarningMessage], where: str) -> None:
        """Take what was warned of; ``where`` goes before what is not of astroclean."""
        texts: dict[bool, set[str]] = {False: set(), True: set()}
        for warning in caught:
            text = str(warning.message)
            if not issubclass(warning.category, AstrocleanWarning):
                text = f"{where}: {warning.category.__name__}: {text}"
            texts[issubclass(warning.category, SuspectWarning)].add(text)
        self.notes += sorted(texts[False])
        self.suspect += sorted(texts[True])
