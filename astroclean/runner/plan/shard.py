"""`Shard`: which part of a run a process does, where a scheduler starts many of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from astroclean.errors import ConfigurationError

__all__ = ["Shard"]


@dataclass(frozen=True)
class Shard:
    """One of several runs that share the inputs of a pipeline and an output folder.

    Which units are its own follows from their order alone: each shard finds it for itself.
    """

    index: int
    """From 0, as Slurm, HTCondor and Kubernetes count."""
    count: int

    @classmethod
    def parsed(cls, text: str) -> Shard:
        """Return the shard that a text such as ``3/8`` names.

        Parameters
        ----------
        text : str
            ``I/N``, with I from 0 to N - 1.

        Raises
        ------
        ConfigurationError
            It is no such text.
        """
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", str(text), re.ASCII)
        if match is None or int(match[1]) >= int(match[2]):
            last = max(int(match[2]) - 1, 0) if match else 7
            raise ConfigurationError(
                "--shard is I/N, and I counts from 0, as SLURM_ARRAY_TASK_ID (--array=0-"
                f"{last}), JOB_COMPLETION_INDEX and HTCondor's Process do: 0/{last + 1} to "
                f"{last}/{last + 1}, not {text!r}"
            )
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def file_stem(self) -> str:
        """What the names of its own files in the output folder begin with."""
        return f"{self.index}-of-{self.count}"

    def takes(self, position: int) -> bool:
        """Return whether the unit at a position, from 0, of all units is its own."""
        return position % self.count == self.index
