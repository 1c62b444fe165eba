"""TOML to `PipelineConfig`: defaults < instrument < pipeline < environment < ``--set``.

Options of the instrument file enter per input file, when its instrument is known
(`astroclean.runner.plan.plan`); the other layers are joined here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from astroclean.config.explain import explain
from astroclean.config.optional import mistyped, without_missing
from astroclean.config.places import Places
from astroclean.config.schema import PSF_SOURCES, SECTIONS, PipelineConfig
from astroclean.config.settings import Setting, from_environment, from_settings
from astroclean.config.stages import (
    WrittenStage,
    faults_of_stages,
    option_names,
    written_stages,
)
from astroclean.core.configs import config_folders, find_config, is_name, read_toml
from astroclean.errors import ConfigurationError, lines_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astroclean.errors import AstrocleanError

__all__ = ["LoadedPipeline", "load_pipeline"]

_MOST_STAGES = 100


@dataclass(frozen=True)
class LoadedPipeline:
    """A validated pipeline, where it was read and where its values came from."""

    config: PipelineConfig
    base: Path
    """Folder to which its relative paths refer."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """``table.key`` or ``stage.key`` to the layer that set it."""
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    """Names of the optional stages whose plugin is not installed."""
    places: Places = field(default_factory=Places)
    """Where it was written, for messages."""

    def faults(self) -> list[AstrocleanError]:
        """Return what is wrong with the stages, and with what is kept of theirs, with places."""
        stages = [
            WrittenStage(number, one.plugin, one.name, one.options, one.optional)
            for number, (name, _) in enumerate(self.places.stages)
            for one in self.config.stage
            if one.name == name
        ]
        products = self.config.products.model_dump()
        return faults_of_stages(stages, self.places, base=self.base, products=products)

    @property
    def scheduler(self) -> str | None:
        """Address or file of the scheduler that makes the calls; None for this machine."""
        named = self.config.run.scheduler
        if named == "local":
            return None
        return named if "://" in named else str(self.base.absolute() / named)


def load_pipeline(
    pipeline: str | Path | Mapping[str, Any],
    *,
    settings: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> LoadedPipeline:
    """Read a pipeline and join its layers.

    Parameters
    ----------
    pipeline : str, Path or mapping
        A name in ``configs/pipelines``, the path of a TOML file, or its content.
    settings : sequence of str
        ``stage.key=value`` or ``table.key=value``, as given to ``--set``; the last wins.
    environment : mapping, optional
        By default the process's own: ``ASTROCLEAN_<STAGE>__<KEY>``.

    Returns
    -------
    LoadedPipeline
        Options of the stages are validated later, when the plugins are loaded.

    Raises
    ------
    ConfigurationError
        With every problem found, each with its key and the nearest valid spelling.
    """
    if isinstance(pipeline, (str, Path)):
        path = find_config("pipelines", str(pipeline))
        raw, base = read_toml(path), _base_of(str(pipeline), path)
    else:
        raw, base, path = dict(pipeline), Path.cwd(), None
    raw = _with_stage_list(raw)
    origins = _origins_of(raw)
    places = Places(path, _named_stages(raw), origins)
    if len(places.stages) > _MOST_STAGES:
        problem = f"stage: a pipeline has at most {_MOST_STAGES} (got {len(places.stages)})"
        raise ConfigurationError(problem, where=places.where())
    problems: list[str] = []
    notes: list[str] = []
    stages = [(name, plugin) for name, plugin in places.stages if name]
    environ = os.environ if environment is None else environment
    layers = [
        *from_environment(environ, [name for name, _ in stages], notes),
        *from_settings(settings, stages, problems, options_of=option_names),
    ]
    for layer in layers:
        _displace(raw, layer, origins)
        _apply(raw, layer)
        origins[f"{layer.target}.{layer.key}"] = layer.origin
    config = _validated(raw, problems, places, base)
    config, left_out = without_missing(config, places.where())
    told = (*notes, *left_out.values())
    return LoadedPipeline(config, base, origins, told, left_out=tuple(left_out), places=places)


def _validated(
    raw: dict[str, Any], problems: list[str], places: Places, base: Path
) -> PipelineConfig:
    """Return the pipeline, or raise what is wrong with it: all of it, that of its stages too."""
    try:
        config = PipelineConfig.model_validate(raw)
    except ValidationError as error:
        problems = [*explain(error, PipelineConfig, raw, places), *problems]
    else:
        # Stages of a pipeline that seems right are loaded when it runs, and not before.
        if not problems and not mistyped(config.stage):
            return config
    products = raw.get("products")
    products = products if isinstance(products, dict) else {}
    faults = faults_of_stages(written_stages(raw), places, base=base, products=products)
    problems += [line for fault in faults for line in lines_of(fault)]
    raise ConfigurationError(problems, where=places.where())


def _base_of(pipeline: str, path: Path) -> Path:
    """Return the folder to which the paths of a pipeline refer.

    A bundled one that goes by its name has nothing beside it: what a user sets lies where they are.
    """
    is_bundled = is_name(pipeline) and path.is_relative_to(config_folders()[-1])
    return Path.cwd() if is_bundled else path.resolve().parent


def _with_stage_list(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a copy deep enough to be changed; odd types are left for the validation to name."""
    copied = {key: dict(v) if isinstance(v, dict) else v for key, v in raw.items()}
    if isinstance(raw.get("instrument"), str):
        copied["instrument"] = {"name": raw["instrument"]}
    stages = raw.get("stage")
    if isinstance(stages, list):
        copied["stage"] = [_copied_stage(stage) for stage in stages]
    return copied


def _copied_stage(stage: Any) -> Any:
    if not isinstance(stage, dict):
        return stage
    options = stage.get("options", {})
    return {**stage, "options": dict(options) if isinstance(options, dict) else options}


def _stages(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the stages in order; an empty table in the place of what is none."""
    stages = raw.get("stage")
    found = stages if isinstance(stages, list) else []
    return [stage if isinstance(stage, dict) else {} for stage in found]


def _named_stages(raw: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return name and plugin of each stage; nothing of what is no table."""
    return tuple(
        (str(stage.get("name") or stage.get("plugin", "")), str(stage.get("plugin", "")))
        for stage in _stages(raw)
    )


def _origins_of(raw: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for section in SECTIONS:
        table = raw.get(section)
        if isinstance(table, dict):
            found.update({f"{section}.{key}": "pipeline" for key in table})
    for (name, _), stage in zip(_named_stages(raw), _stages(raw), strict=True):
        if isinstance(stage.get("options"), dict):
            found.update({f"{name}.{key}": "pipeline" for key in stage["options"]})
    return found


def _displace(raw: dict[str, Any], setting: Setting, origins: dict[str, str]) -> None:
    """Drop another source of the PSF that a lower layer gave: a higher layer's takes its place."""
    table = raw.get(setting.target)
    if setting.target != "psf" or not isinstance(table, dict) or setting.value is False:
        return
    displaced = PSF_SOURCES if setting.key in PSF_SOURCES else ()
    if setting.key in {"file", "estimate"}:
        displaced = (*displaced, "fwhm_includes_pixel")  # which tells of a width, and there is none
    for key in displaced:
        lower = origins.get(f"psf.{key}", setting.origin).split()[0] != setting.origin.split()[0]
        if key != setting.key and key in table and lower:
            del table[key], origins[f"psf.{key}"]


def _apply(raw: dict[str, Any], setting: Setting) -> None:
    if setting.target in SECTIONS:
        setting.into(raw.setdefault(setting.target, {}))
        return
    for (name, _), stage in zip(_named_stages(raw), _stages(raw), strict=True):
        if name == setting.target:
            setting.into(stage["options"])
