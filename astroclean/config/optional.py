"""Stages that a pipeline does without where their plugin is not installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astroclean.errors import ConfigurationError
from astroclean.registry.discover import list_plugins
from astroclean.registry.distributions import how_to_get

if TYPE_CHECKING:
    from astroclean.config.schema import PipelineConfig, StageConfig

__all__ = ["without_missing"]


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
    installed = {entry.name for entry in list_plugins()}
    missing = [s for s in config.stage if s.optional and s.plugin not in installed]
    notes = {stage.name: _note(stage) for stage in missing}
    if len(missing) == len(config.stage):
        problems = [f"no stage is left: {note}" for note in notes.values()]
        raise ConfigurationError(problems, where=where)
    kept = tuple(stage for stage in config.stage if stage not in missing)
    return config.model_copy(update={"stage": kept}), notes


def _note(stage: StageConfig) -> str:
    problem = (
        f"the optional stage '{stage.name}' is left out: no plugin '{stage.plugin}' is installed"
    )
    return f"{problem}. {how_to_get(stage.plugin) or ''}".strip()
