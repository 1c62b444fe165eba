"""What will be done to one file: instrument, stages with their options, PSF, resume key."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astroclean import __version__
from astroclean.config.load import LoadedPipeline
from astroclean.core.conventions import load_convention
from astroclean.core.planes import MaskPlane
from astroclean.errors import ConfigurationError, NeedError
from astroclean.io.address import parse_address
from astroclean.io.names import split_name
from astroclean.io.read import Exposure, ReadSettings, open_exposure
from astroclean.io.resources import file_digest, load_resources
from astroclean.registry.load import find_plugin, load_stage_class, make_stage
from astroclean.runner.psf_source import PsfSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astroclean.core.stage import Stage

__all__ = ["FilePlan", "PlanRequest", "StageSpec", "build_stages", "plan_file"]


@dataclass(frozen=True)
class StageSpec:
    """A stage to be built: plain values, so that it can go to another process."""

    name: str
    plugin: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class PlanRequest:
    """One input of a pipeline."""

    input: str
    pipeline: LoadedPipeline
    stages: tuple[str, ...]
    """Names of the stages that run."""


@dataclass(frozen=True)
class FilePlan:
    """What will be done to one file."""

    input: str
    stem: str
    pipeline: LoadedPipeline
    settings: ReadSettings
    instrument: str
    specs: tuple[StageSpec, ...]
    frames: int
    """Number of frames in the file."""
    key: str
    """Resume key."""
    prefix_keys: tuple[str, ...]
    """Key of the state before each stage, for saved stages."""

    @property
    def path(self) -> Path:
        """The input file."""
        return parse_address(self.input).path

    @property
    def psf_source(self) -> PsfSource | None:
        """Where the PSF comes from, if the pipeline says."""
        psf = self.pipeline.config.psf
        return None if psf is None else PsfSource(psf, self.pipeline.base, self.stem)


def plan_file(request: PlanRequest) -> FilePlan:
    """Plan one file from its headers alone.

    Parameters
    ----------
    request : PlanRequest
        Input and pipeline.

    Returns
    -------
    FilePlan
        The plan.

    Raises
    ------
    FitsReadError, UnitError
        The file cannot be read or has no frame: a matter of this file.
    ConfigurationError, NeedError, PluginError
        The pipeline cannot work: a matter of the whole run.
    """
    config = request.pipeline.config
    settings = ReadSettings(
        config.instrument.name, config.instrument.overrides(), config.run.reject
    )
    stem = split_name(parse_address(request.input).path)[0]
    with open_exposure(request.input, settings) as exposure:
        header = exposure.source.merged_header(exposure.slots[0].science.index)
        specs = tuple(
            StageSpec(
                stage.name,
                stage.plugin,
                {**exposure.instrument.options_for(stage.plugin, header), **stage.options},
            )
            for stage in config.stage
            if stage.name in request.stages
        )
        stages = build_stages(specs, base=request.pipeline.base, stem=stem)
        _check_needs(stages, exposure, request)
        frames, instrument = len(exposure.slots), exposure.instrument
    plan = FilePlan(
        request.input, stem, request.pipeline, settings, instrument.name, specs, frames, "", ()
    )
    identity = {
        "astroclean": __version__,
        "input": file_digest(plan.path),
        "address": str(parse_address(request.input)).removeprefix(str(plan.path)),
        "instrument": instrument.model_dump(mode="json"),
        "overrides": dict(settings.overrides),
        "reject": int(settings.reject_bits),
        "bands": dict(config.bands),
        "psf": _psf_identity(plan),
    }
    told = [_stage_identity(stage) for stage in stages]
    whole = {
        **identity,
        "stages": told,
        "products": config.products.model_dump(mode="json", exclude={"report"}),
        "on_reject": config.run.on_reject,
    }
    prefixes = tuple(_digest({**identity, "stages": told[:n]}) for n in range(len(told)))
    return FilePlan(
        request.input,
        stem,
        request.pipeline,
        settings,
        instrument.name,
        specs,
        frames,
        _digest(whole),
        prefixes,
    )


def build_stages(specs: Sequence[StageSpec], *, base: Path, stem: str | None) -> list[Stage]:
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
    list of Stage
        Ready to run.

    Raises
    ------
    ConfigurationError
        Options of any stage are wrong; all problems are listed.
    PluginError
        A plugin cannot be used.
    """
    stages, problems = [], []
    for spec in specs:
        try:
            stage = _built(spec.name, spec.plugin, _frozen(spec.options), str(base))
        except ConfigurationError as error:
            problems += [f"stage '{spec.name}', {problem}" for problem in error.problems]
            continue
        if stem is not None and any(r.is_per_file for r in stage.options.resources().values()):
            options = load_resources(stage.options, base=base, stem=stem)
            stage = type(stage)(options, identity=stage.identity)
        stages.append(stage)
    if problems:
        raise ConfigurationError(problems)
    return stages


def _frozen(options: Mapping[str, Any]) -> str:
    return json.dumps(options, sort_keys=True, default=str)


@lru_cache(maxsize=64)
def _built(name: str, plugin: str, options: str, base: str) -> Stage:
    """Build a stage once a process: its files and weights are read once, not once a frame."""
    entry = find_plugin(plugin)
    stage = make_stage(load_stage_class(entry), entry, json.loads(options), name=name)
    loaded = load_resources(stage.options, base=Path(base))
    return type(stage)(loaded, identity=stage.identity)


def _stage_identity(stage: Stage) -> dict[str, Any]:
    return {
        "name": stage.name,
        "plugin": stage.identity.plugin,
        "version": stage.identity.version,
        "options": stage.options.record(),
        "resources": {name: r.digest for name, r in stage.options.resources().items()},
        "fingerprint": stage.fingerprint(),
    }


def _psf_identity(plan: FilePlan) -> Any:
    source = plan.psf_source
    if source is None:
        return None
    path = source.path
    digest = file_digest(path) if path is not None and path.is_file() else ""
    return {**source.config.model_dump(mode="json"), "digest": digest}


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _check_needs(stages: Sequence[Stage], exposure: Exposure, request: PlanRequest) -> None:
    """Refuse an order of stages in which a need cannot be met."""
    config = request.pipeline.config
    fields, planes = _present(exposure)
    if config.psf is not None:
        fields.add("psf")
    for stage in stages:
        needs = stage.needs()
        where = f"stage '{stage.name}' on {exposure.source.path.name}"
        if "frame" not in stage.accepts and not config.bands:
            raise NeedError("works on several bands together; give `[bands]`", where=where)
        missing = sorted(needs.fields - fields)
        if missing:
            raise NeedError(
                f"needs {', '.join(missing)}, which neither the file nor an earlier stage gives",
                where=where,
                remedy=_remedy(missing),
            )
        if needs.planes and not needs.planes & planes:
            names = ", ".join(str(p.name) for p in MaskPlane if p & needs.planes)
            raise NeedError(
                f"needs flags of {names}, which no earlier stage sets and the file's DQ lacks",
                where=where,
                remedy="Put a stage of kind `mask` that finds them before it.",
            )
        absent = [band for band in needs.bands if band not in config.bands]
        if absent:
            raise NeedError(f"needs bands {', '.join(absent)} in `[bands]`", where=where)
        fields |= stage.provides().fields
        planes |= stage.provides().planes


def _present(exposure: Exposure) -> tuple[set[str], MaskPlane]:
    """Return the fields and planes that frames of a file have when they are read."""
    fields, planes = {"flags"}, MaskPlane.NO_DATA
    first = exposure.slots[0]
    header = exposure.source.header(first.science.index)
    if {"error", "variance", "inverse_variance"} & set(first.companions):
        fields.add("uncertainty")
    if header.get("CTYPE1"):
        fields.add("wcs")
    if exposure.instrument.trim_keyword and exposure.instrument.trim_keyword in header:
        planes |= MaskPlane.OVERSCAN
    if "dq" in first.companions:
        convention = load_convention(exposure.instrument.dq or "boolean")
        planes |= convention.provides | MaskPlane.BAD_PIXEL
    return fields, planes


def _remedy(missing: Sequence[str]) -> str:
    if "psf" in missing:
        return 'Give `[psf]` with `file`, `fwhm = "0.9 arcsec"` or `estimate = true`.'
    return "Put a stage that provides it before; `astroclean plugins list` shows which do."
