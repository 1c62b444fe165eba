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
from astroclean.config.optional import without_missing
from astroclean.config.schema import PSF_SOURCES, SECTIONS, PipelineConfig
from astroclean.core.configs import config_folders, find_config, is_name, read_toml, toml_value
from astroclean.core.suggest import did_you_mean
from astroclean.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["LoadedPipeline", "load_pipeline"]

ENVIRONMENT_PREFIX = "ASTROCLEAN_"
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

    @property
    def scheduler(self) -> str | None:
        """Address or file of the scheduler that makes the calls; None for this machine."""
        named = self.config.run.scheduler
        if named == "local":
            return None
        return named if "://" in named else str(self.base.absolute() / named)


@dataclass(frozen=True)
class _Setting:
    target: str
    key: str
    value: Any
    origin: str


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
        raw, base, where = read_toml(path), _base_of(str(pipeline), path), str(path)
    else:
        raw, base, where = dict(pipeline), Path.cwd(), "pipeline"
    raw = _with_stage_list(raw)
    if len(_stages(raw)) > _MOST_STAGES:
        problem = f"stage: a pipeline has at most {_MOST_STAGES} (got {len(_stages(raw))})"
        raise ConfigurationError(problem, where=where)
    origins = _origins_of(raw)
    problems: list[str] = []
    notes: list[str] = []
    names = _stage_names(raw)
    environ = os.environ if environment is None else environment
    layers = [*_from_environment(environ, names, notes), *_from_settings(settings, names, problems)]
    for layer in layers:
        _displace(raw, layer, origins)
        _apply(raw, layer)
        origins[f"{layer.target}.{layer.key}"] = layer.origin
    try:
        config = PipelineConfig.model_validate(raw)
    except ValidationError as error:
        problems = [*explain(error, PipelineConfig), *problems]
        raise ConfigurationError(problems, where=where) from error
    if problems:
        raise ConfigurationError(problems, where=where)
    config, left_out = without_missing(config, where)
    told = (*notes, *left_out.values())
    return LoadedPipeline(config, base, origins, told, left_out=tuple(left_out))


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
    stages = raw.get("stage")
    return [s for s in stages if isinstance(s, dict)] if isinstance(stages, list) else []


def _stage_names(raw: Mapping[str, Any]) -> list[str]:
    return [str(stage.get("name") or stage.get("plugin", "")) for stage in _stages(raw)]


def _origins_of(raw: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for section in SECTIONS:
        table = raw.get(section)
        if isinstance(table, dict):
            found.update({f"{section}.{key}": "pipeline" for key in table})
    for name, stage in zip(_stage_names(raw), _stages(raw), strict=True):
        if isinstance(stage.get("options"), dict):
            found.update({f"{name}.{key}": "pipeline" for key in stage["options"]})
    return found


def _from_environment(
    environment: Mapping[str, str], names: Sequence[str], notes: list[str]
) -> list[_Setting]:
    targets = {name.upper().replace("-", "_"): name for name in (*SECTIONS, *names)}
    found = []
    for variable, text in sorted(environment.items()):
        stage, separator, key = variable.removeprefix(ENVIRONMENT_PREFIX).partition("__")
        if not variable.startswith(ENVIRONMENT_PREFIX) or not separator:
            continue
        if stage not in targets:
            notes.append(f"environment variable {variable} is for no stage of this pipeline")
            continue
        origin = f"environment {variable}"
        found.append(_Setting(targets[stage], key.lower(), toml_value(text), origin))
    return found


def _from_settings(
    settings: Sequence[str], names: Sequence[str], problems: list[str]
) -> list[_Setting]:
    found = []
    for text in settings:
        path, equals, value = text.partition("=")
        target, dot, key = path.strip().partition(".")
        if not equals or not dot or not key:
            hint = "; as in instrument.name=decam" if target in SECTIONS else ""
            problems.append(f"--set {text}: must read stage.key=value{hint}")
        elif target not in (*SECTIONS, *names):
            hint = did_you_mean(target, (*names, *SECTIONS))
            problems.append(f"--set {text}: no stage or table '{target}'. {hint}")
        else:
            found.append(_Setting(target, key.strip(), toml_value(value.strip()), "--set"))
    return found


def _displace(raw: dict[str, Any], setting: _Setting, origins: dict[str, str]) -> None:
    """Drop another source of the PSF that a lower layer gave: a higher layer's takes its place."""
    table = raw.get(setting.target)
    if setting.target != "psf" or not isinstance(table, dict) or setting.value is False:
        return
    for key in PSF_SOURCES if setting.key in PSF_SOURCES else ():
        lower = origins.get(f"psf.{key}", setting.origin).split()[0] != setting.origin.split()[0]
        if key != setting.key and key in table and lower:
            del table[key], origins[f"psf.{key}"]


def _apply(raw: dict[str, Any], setting: _Setting) -> None:
    if setting.target in SECTIONS:
        table = raw.setdefault(setting.target, {})
        if isinstance(table, dict):
            table[setting.key] = setting.value
        return
    for name, stage in zip(_stage_names(raw), _stages(raw), strict=True):
        if name == setting.target and isinstance(stage["options"], dict):
            stage["options"][setting.key] = setting.value
