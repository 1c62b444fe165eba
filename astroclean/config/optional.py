"""Stages that a pipeline does without where their plugin is not installed."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Protocol

from astroclean.errors import ConfigurationError
from astroclean.registry.discover import list_plugins
from astroclean.registry.distributions import how_to_get

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from astroclean.config.schema import PipelineConfig, StageConfig
    from astroclean.registry.discover import PluginEntry

__all__ = ["Optional", "is_left_out", "mistyped", "without_missing"]


class Optional(Protocol):
    """A stage, of which it is known whether a pipeline does without it."""

    @property
    def plugin(self) -> str:
        """Its plugin."""

    @property
    def optional(self) -> bool:
        """Whether the pipeline runs without it."""


_SLIP = 0.85
"""Likeness of two names (difflib) from which one is meant; third parties have other names."""


def is_left_out(stage: Optional, entries: Sequence[PluginEntry]) -> bool:
    """Whether a stage is left out: an optional one whose plugin no distribution here offers."""
    is_missing = stage.optional and all(entry.name != stage.plugin for entry in entries)
    return is_missing and not _is_mistyped(stage.plugin, entries)


def _is_mistyped(name: str, entries: Sequence[PluginEntry]) -> bool:
    """Whether nobody knows a name that is nearly one that is there."""
    return how_to_get(name) is None and _nearly(name, {entry.name for entry in entries}) is not None


def mistyped(stages: Iterable[Optional]) -> bool:
    """Whether an optional stage is missing for its name alone; that is an error as of any other."""
    asked = [stage for stage in stages if stage.optional]
    entries = list_plugins() if asked else ()
    installed = {entry.name for entry in entries}
    return any(s.plugin not in installed and _is_mistyped(s.plugin, entries) for s in asked)


def without_missing(config: PipelineConfig, where: str) -> tuple[PipelineConfig, dict[str, str]]:
    """Leave out the optional stages whose plugin no installed distribution offers.

    One that is installed and broken, or without its engine, stays, and is an error of the run.

    Parameters
    ----------
    config : PipelineConfig
        As written.
    where : str
        The file, for the error.

    Returns
    -------
    PipelineConfig
        The stages that run.
    dict of str to str
        Name of each stage that was left out, to a note.

    Raises
    ------
    ConfigurationError
        No stage would be left.
    """
    if not any(stage.optional for stage in config.stage):
        return config, {}
    entries = list_plugins()
    missing = [s for s in config.stage if is_left_out(s, entries)]
    notes = {stage.name: _note(stage) for stage in missing}
    if len(missing) == len(config.stage):
        problems = [f"no stage is left: {note}" for note in notes.values()]
        raise ConfigurationError(problems, where=where)
    kept = tuple(stage for stage in config.stage if stage not in missing)
    return config.model_copy(update={"stage": kept}), notes


def _nearly(name: str, known: Iterable[str]) -> str | None:
    """Return a name that differs by a slip of the finger."""
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=_SLIP)
    return near[0] if near else None


def _note(stage: StageConfig) -> str:
    problem = (
        f"the optional stage '{stage.name}' is left out: no plugin '{stage.plugin}' is installed"
    )
    return f"{problem}. {how_to_get(stage.plugin) or ''}".strip()
