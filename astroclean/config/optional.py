"""Stages that a pipeline does without where their plugin is not installed."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from astroclean.errors import ConfigurationError
from astroclean.registry.discover import list_plugins
from astroclean.registry.distributions import how_to_get

if TYPE_CHECKING:
    from collections.abc import Iterable

    from astroclean.config.schema import PipelineConfig, StageConfig

__all__ = ["without_missing"]

_SLIP = 0.85
"""Likeness of two names (difflib) from which one is meant; third parties have other names."""


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
        No stage would be left, or a name is nearly that of an installed plugin.
    """
    if not any(stage.optional for stage in config.stage):
        return config, {}
    installed = {entry.name for entry in list_plugins()}
    missing = [s for s in config.stage if s.optional and s.plugin not in installed]
    # A name that nobody knows and that is nearly one that is there was mistyped.
    mistyped = [
        f"stage '{s.name}': no plugin '{s.plugin}'. Did you mean '{near}'?"
        for s in missing
        if how_to_get(s.plugin) is None and (near := _nearly(s.plugin, installed))
    ]
    if mistyped:
        raise ConfigurationError(mistyped, where=where)
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
