"""The exception family. Each error says what was wrong, where, what was received, what to do.

``exit_code`` is the status with which the command line ends when the error stops the whole run
(``docs/reference/exit_codes.md``).
"""

from __future__ import annotations

from typing import Self

__all__ = [
    "AstrocleanError",
    "AstrocleanWarning",
    "ConfigurationError",
    "ContractError",
    "ConventionError",
    "ExecutorError",
    "FitsReadError",
    "FitsWriteError",
    "FrameError",
    "HduNotFoundError",
    "InstrumentError",
    "NeedError",
    "NoInputError",
    "OutputError",
    "PlaneError",
    "PluginClashError",
    "PluginError",
    "PluginLoadError",
    "PluginNotFoundError",
    "PsfError",
    "StageError",
    "SuspectWarning",
    "UnitError",
    "lines_of",
]


class AstrocleanError(Exception):
    """Base of all errors raised by astroclean.

    Parameters
    ----------
    problem : str
        What was wrong, as a clause without a final full stop.
    where : str, optional
        File, HDU, stage or key.
    received : object, optional
        The offending value.
    remedy : str, optional
        What the user can do, as a sentence.
    """

    exit_code = 1

    def __init__(
        self,
        problem: str,
        *,
        where: str | None = None,
        received: object = None,
        remedy: str | None = None,
    ) -> None:
        self.problem = problem
        self.where = where
        self.received = received
        self.remedy = remedy
        super().__init__(self._message())

    def _message(self) -> str:
        text = f"{self.where}: {self.problem}" if self.where else self.problem
        if self.received is not None:
            text += f" (got {self.received})"
        text += "."
        return f"{text} {self.remedy}" if self.remedy else text

    def at(self, where: str) -> Self:
        """Return the error with its place, where it has none yet."""
        if self.where is not None:
            return self
        return type(self)(
            self.problem, where=where, received=self.received, remedy=self.remedy
        ).with_traceback(self.__traceback__)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling of exceptions.
        return _rebuild, (type(self), self.problem, self.where, self.received, self.remedy)


def _rebuild(
    cls: type[AstrocleanError],
    problem: str,
    where: str | None,
    received: object,
    remedy: str | None,
) -> AstrocleanError:
    return cls(problem, where=where, received=received, remedy=remedy)


class AstrocleanWarning(UserWarning):
    """Something that the user should know but that stops nothing; a run notes it in its report."""


class SuspectWarning(AstrocleanWarning):
    """A result that looks implausible: a run marks the file as suspect and says so.

    For what makes the result of a stage doubtful, such as noise that is not what the header
    predicts; not for what is worth knowing and no more.
    """


class FitsReadError(AstrocleanError):
    """A file is not FITS, is damaged, or holds nothing that can be cleaned."""


class HduNotFoundError(FitsReadError):
    """An address such as ``file.fits[SCI,1]`` names no HDU of the file."""


class FitsWriteError(AstrocleanError):
    """An output file could not be written."""


class FrameError(AstrocleanError):
    """Fields of a frame do not fit together, or a field does not exist."""


class PlaneError(AstrocleanError):
    """A mask plane or a value of a mask convention is unknown."""

    exit_code = 2


class ConventionError(AstrocleanError):
    """A mask convention is unknown or its table is malformed."""

    exit_code = 2


class UnitError(AstrocleanError):
    """A unit is missing, not understood or not the one needed."""


class PsfError(AstrocleanError):
    """A point spread function is missing or malformed."""


class InstrumentError(AstrocleanError):
    """An instrument file is unknown, malformed or does not fit the data."""

    exit_code = 2


class StageError(AstrocleanError):
    """A stage could not do its work on a frame."""


class ContractError(StageError):
    """A plugin did what its kind may not do, such as changing pixels outside its remit."""


class NeedError(AstrocleanError):
    """A stage needs something that neither the frame nor an earlier stage has."""

    exit_code = 2


class ConfigurationError(AstrocleanError):
    """A pipeline, an option or a command line is wrong; lists every problem found.

    Parameters
    ----------
    problems : list of str
        One line each: key, rule, what was received, nearest valid spelling.
    where : str, optional
        The file that was read.
    """

    exit_code = 2

    def __init__(self, problems: list[str] | str, *, where: str | None = None) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("; ".join(self.problems), where=where)

    def _message(self) -> str:
        if len(self.problems) == 1:
            head = f"{self.where}: " if self.where else ""
            return head + self.problems[0]
        head = f"{self.where}: {len(self.problems)} problems"
        return "\n  ".join([head, *self.problems])

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_configuration, (self.problems, self.where)


def lines_of(error: Exception) -> list[str]:
    """Return an error as lines of a list: each problem of one that has several."""
    return list(error.problems) if isinstance(error, ConfigurationError) else [str(error)]


def _rebuild_configuration(problems: list[str], where: str | None) -> ConfigurationError:
    return ConfigurationError(problems, where=where)


class PluginError(AstrocleanError):
    """A plugin, an engine or its weights cannot be used."""

    exit_code = 3


class PluginNotFoundError(PluginError):
    """No installed distribution offers a plugin of this name."""


class PluginClashError(PluginError):
    """Two distributions offer a plugin of the same name."""


class PluginLoadError(PluginError):
    """A plugin is installed but fails to import or has a wrong manifest."""


class NoInputError(AstrocleanError):
    """No input matched."""

    exit_code = 4


class OutputError(AstrocleanError):
    """The output folder cannot be used."""

    exit_code = 2


class ExecutorError(AstrocleanError):
    """What makes the calls of a run can make none, or no more; what is finished is kept."""
