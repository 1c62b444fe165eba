"""`Remarks`: what a user should know of a file, and what of it makes the result doubtful."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from astroclean.errors import AstrocleanWarning, SuspectWarning

if TYPE_CHECKING:
    import warnings
    from collections.abc import Collection, Sequence

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

    def of(self, frame_id: str, frame_ids: Collection[str]) -> Remarks:
        """Return what concerns one of the frames that a stage took together.

        Parameters
        ----------
        frame_id : str
            Of the frame.
        frame_ids : collection of str
            Of all of them.

        Returns
        -------
        Remarks
            Without the notes that begin with the name of another frame. What makes the result
            doubtful is doubtful for all: each is made of all.
        """
        others = tuple(f"{one}{end}" for one in frame_ids if one != frame_id for end in ",:")
        notes = [text for text in self.notes if not text.startswith(others)]
        return Remarks(notes, list(self.suspect))

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
