"""Stages of a plan: built once a worker and run, and the same as when they were planned."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astroclean.core.run_cache import cached_for_run
from astroclean.errors import ConfigurationError, FitsReadError, StageError
from astroclean.io.resources import load_resources
from astroclean.registry.discover import list_plugins
from astroclean.registry.load import (
    find_plugin,
    load_stage_class,
    make_stage,
    require_current_code,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astroclean.core.stage.stage import Stage
    from astroclean.registry.discover import PluginEntry

__all__ = ["BuiltStage", "StageSpec", "build_stages", "built_stages", "digest_of_content"]


@dataclass(frozen=True)
class StageSpec:
    """A stage to be built: plain values, so that it can go to another process."""

    name: str
    plugin: str
    options: Mapping[str, Any]
    identity: str = ""
    """Digest of :attr:`BuiltStage.identity` when it was planned; empty where nothing was yet."""


class BuiltStage:
    """A stage that is ready to run, and what its answer depends on.

    Parameters
    ----------
    stage : Stage
        With its files read.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Version, code, options, content of the files that it reads: part of the resume key.

        Raises
        ------
        PluginError
            Weights are missing or damaged.
        """
        stage = self.stage
        return {
            "name": stage.name,
            "plugin": stage.identity.plugin,
            "version": stage.identity.version,
            "code": stage.identity.code,
            "options": stage.options.record(),
            "resources": {name: r.digest for name, r in stage.options.resources().items()},
            "fingerprint": stage.fingerprint(),
        }

    def check(self, spec: StageSpec) -> None:
        """Refuse a stage that is not the one that was planned.

        The plan's key goes on record with the result: it would tell of another content.

        Raises
        ------
        StageError
            It is another.
        """
        if spec.identity and spec.identity != digest_of_content(self.identity):
            raise StageError(
                "is not what it was when the run was planned: a file that it reads was changed, or "
                "this worker has another version of it",
                where=f"stage '{spec.name}'",
                remedy="Run again; what is finished is kept.",
            )


def build_stages(specs: Sequence[StageSpec], *, base: Path, stem: str | None) -> list[Stage]:
    """Return the stages of :func:`built_stages`."""
    return [built.stage for built in built_stages(specs, base=base, stem=stem)]


def built_stages(specs: Sequence[StageSpec], *, base: Path, stem: str | None) -> list[BuiltStage]:
    """Return the stages of a plan, with what their options name read.

    Parameters
    ----------
    specs : sequence of StageSpec
        Stages in order.
    base : Path
        Folder to which relative paths refer.
    stem : str or None
        Stem of the input, for ``{stem}``; None leaves files that differ from input to input.

    Returns
    -------
    list of BuiltStage
        Ready to run.

    Raises
    ------
    ConfigurationError
        Options of any stage are wrong, or name files that cannot be read; all are listed.
    FitsReadError
        A file that belongs to this input alone cannot be read.
    PluginError
        A plugin cannot be used.
    StageError
        A stage is not the one that was planned.
    """
    stages, problems = [], []
    for spec in specs:
        try:
            built = _shared(spec.name, spec.plugin, _frozen(spec.options), str(base))
        except ConfigurationError as error:
            problems += [f"stage '{spec.name}', {problem}" for problem in error.problems]
            continue
        except FitsReadError as error:
            problems.append(f"stage '{spec.name}', {error}")
            continue
        resources = built.stage.options.resources().values()
        if stem is not None and any(resource.is_per_file for resource in resources):
            built = BuiltStage(_with_own_files(built.stage, base, stem))
        built.check(spec)
        stages.append(built)
    if problems:
        raise ConfigurationError(problems)
    return stages


def _with_own_files(stage: Stage, base: Path, stem: str) -> Stage:
    try:
        options = load_resources(stage.options, base=base, stem=stem)
    except FitsReadError as error:
        where = f"stage '{stage.name}', {error.where}"
        raise FitsReadError(error.problem, where=where, remedy=error.remedy) from error
    return type(stage)(options, identity=stage.identity)


def _frozen(options: Mapping[str, Any]) -> str:
    return json.dumps(options, sort_keys=True, default=str)


@cached_for_run(maxsize=1)
def _plugins() -> tuple[PluginEntry, ...]:
    """List the plugins once a worker and run: it reads the metadata of all that is installed."""
    return list_plugins()


@cached_for_run(maxsize=64)
def _shared(name: str, plugin: str, options: str, base: str) -> BuiltStage:
    """Build a stage once a worker and run: its files are read once, not once a frame."""
    entry = find_plugin(plugin, _plugins())
    stage_class = load_stage_class(entry)
    require_current_code(entry)
    stage = make_stage(stage_class, entry, json.loads(options), name=name)
    loaded = load_resources(stage.options, base=Path(base))
    return BuiltStage(type(stage)(loaded, identity=stage.identity))


def digest_of_content(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of plain values, as 64 hexadecimal digits; order does not matter."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
