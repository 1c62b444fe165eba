"""Which stages of a pipeline run: ``--from``, ``--until``, ``--only``, ``--skip``."""

from __future__ import annotations

from dataclasses import dataclass

from astroclean.core.suggest import did_you_mean
from astroclean.errors import ConfigurationError

__all__ = ["Selection"]


@dataclass(frozen=True)
class Selection:
    """Stages named on the command line."""

    start: str | None = None
    """``--from``: begin here, with the saved results of the stages before."""
    until: str | None = None
    """``--until``: end with this one."""
    only: tuple[str, ...] = ()
    """``--only``: no others."""
    skip: tuple[str, ...] = ()
    """``--skip``: not these."""

    def of(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of the stages that run.

        Parameters
        ----------
        names : tuple of str
            All stages of the pipeline, in order.

        Returns
        -------
        tuple of str
            In order. Those before ``start`` are among them: their saved results count.

        Raises
        ------
        ConfigurationError
            A name is unknown, ``start`` lies behind ``until``, or nothing is left.
        """
        told = [self.start, self.until, *self.only, *self.skip]
        problems = [
            f"no stage '{name}' in the pipeline. {did_you_mean(name, names)}"
            for name in told
            if name is not None and name not in names
        ]
        if problems:
            raise ConfigurationError(problems, where="command line")
        chosen = names[: names.index(self.until) + 1] if self.until else names
        chosen = tuple(n for n in chosen if not self.only or n in self.only)
        chosen = tuple(n for n in chosen if n not in self.skip)
        if self.start is not None and self.start not in chosen:
            raise ConfigurationError(f"--from {self.start}: the stage is not among those that run")
        if not chosen:
            raise ConfigurationError("no stage is left to run")
        return chosen
