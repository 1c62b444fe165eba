"""What will be done to one file: instrument, stages with their options, PSF, resume key."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astroclean import __version__
from astroclean.errors import ConfigurationError, FitsReadError, PsfError
from astroclean.io.address import parse_address
from astroclean.io.names import base_name, split_name
from astroclean.io.read import Exposure, ReadSettings, open_exposure
from astroclean.io.resources import file_digest, load_resources
from astroclean.registry.load import find_plugin, load_stage_class, make_stage
from astroclean.runner.chunks import ChunkPlan, plan_chunks
from astroclean.runner.needs import check_headers, check_needs
from astroclean.runner.psf_source import PsfSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astroclean.config.load import LoadedPipeline
    from astroclean.core.stage import Stage

__all__ = [
    "FilePlan",
    "PlanRequest",
    "StageSpec",
    "absolute_address",
    "build_stages",
    "forget_stages",
    "plan_file",
]


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
    jobs: int = 1
    """Processes that share the memory."""


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
    chunks: ChunkPlan | None = None
    """How frames are cut that do not fit into memory; not part of the key, the bytes are equal."""
    contradictions: tuple[str, ...] = ()
    """What of the headers contradicts itself."""
    content: str = ""
    """SHA-256 of the input."""
    tables: tuple[str, ...] = ()
    """Names of the tables that the stages give."""

    @property
    def base(self) -> str:
        """What the names of its outputs begin with."""
        return base_name(self.path, self.pipeline.config.products.name)

    @property
    def source(self) -> str:
        """Where the input lies: its absolute path, with the HDU."""
        return absolute_address(self.input)

    @property
    def path(self) -> Path:
        """The input file."""
        return parse_address(self.input).path

    @property
    def psf_source(self) -> PsfSource | None:
        """Where the PSF comes from, if the pipeline says."""
        return _psf_source(self.pipeline, self.stem)


def absolute_address(text: str) -> str:
    """Return an input with its absolute path, by which it is known from one run to the next."""
    address = parse_address(text)
    hdu = str(address).removeprefix(str(address.path))
    return os.path.abspath(address.path) + hdu  # noqa: PTH100 - links keep their names


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
    FitsReadError, UnitError, PsfError, StageError
        The file cannot be read or has no frame, or its headers lack what a stage needs: a matter of
        this file.
    ConfigurationError, NeedError, PluginError
        The pipeline cannot work: a matter of the whole run.
    """
    config = request.pipeline.config
    settings = ReadSettings(
        config.instrument.name, config.instrument.overrides(), config.run.reject
    )
    stem = split_name(parse_address(request.input).path)[0]
    with open_exposure(request.input, settings) as exposure:
        specs = _specs(exposure, request)
        stages = build_stages(specs, base=request.pipeline.base, stem=stem)
        check_needs(stages, exposure, config)
        _check_psf_file(request, stem)
        check_headers(stages, exposure, _psf_source(request.pipeline, stem))
        contradictions = tuple(exposure.contradictions)
        frames, instrument = len(exposure.slots), exposure.instrument.name
        limit = config.run.memory_bytes
        chunks = (
            None
            if limit is None
            else plan_chunks(exposure, stages, config, limit=limit // max(request.jobs, 1))
        )
        content = file_digest(parse_address(request.input).path)
        key, prefix_keys = _keys(request, exposure, stages, content)
    return FilePlan(
        input=request.input,
        stem=stem,
        pipeline=request.pipeline,
        settings=settings,
        instrument=instrument,
        specs=specs,
        frames=frames,
        key=key,
        chunks=chunks,
        prefix_keys=prefix_keys,
        contradictions=contradictions,
        content=content,
        tables=tuple(sorted({name for stage in stages for name in stage.tables})),
    )


def _specs(exposure: Exposure, request: PlanRequest) -> tuple[StageSpec, ...]:
    """Return the stages that run, options of the instrument below those of the pipeline."""
    header = exposure.source.merged_header(exposure.slots[0].science.index)
    return tuple(
        StageSpec(
            stage.name,
            stage.plugin,
            {**exposure.instrument.options_for(stage.plugin, header), **stage.options},
        )
        for stage in request.pipeline.config.stage
        if stage.name in request.stages
    )


def _psf_source(pipeline: LoadedPipeline, stem: str) -> PsfSource | None:
    psf = pipeline.config.psf
    return None if psf is None else PsfSource(psf, pipeline.base, stem)


def _check_psf_file(request: PlanRequest, stem: str) -> None:
    source = _psf_source(request.pipeline, stem)
    if source is not None and source.path is not None and not source.path.is_file():
        raise PsfError(
            f"the PSF of {request.input} is not there",
            where=str(source.path),
            remedy="Check psf.file; relative paths refer to the folder of the pipeline.",
        )


def _keys(
    request: PlanRequest, exposure: Exposure, stages: Sequence[Stage], content: str
) -> tuple[str, tuple[str, ...]]:
    """Return the resume key, and the keys of the states before each stage."""
    config = request.pipeline.config
    address = parse_address(request.input)
    identity = {
        "astroclean": __version__,
        "input": content,
        "address": str(address).removeprefix(str(address.path)),
        "instrument": exposure.instrument.model_dump(mode="json"),
        "conventions": _conventions(exposure),
        "overrides": config.instrument.overrides(),
        "reject": int(config.run.reject),
        "bands": dict(config.bands),
        "psf": _psf_identity(_psf_source(request.pipeline, split_name(address.path)[0])),
    }
    told = [_stage_identity(stage) for stage in stages]
    whole = {
        **identity,
        "stages": told,
        "products": config.products.model_dump(mode="json", exclude={"report"}),
        "on_reject": config.run.on_reject,
        "on_suspect": config.run.on_suspect,
    }
    prefixes = tuple(_digest({**identity, "stages": told[:n]}) for n in range(len(told)))
    return _digest(whole), prefixes


def _conventions(exposure: Exposure) -> list[Any]:
    """Return the tables of mask values of a file: another table, another result."""
    declared = [exposure.masks.declared(slot) for slot in exposure.slots]
    tables = {told.convention.name: told.convention for told in declared if told is not None}
    return [tables[name].model_dump(mode="json") for name in sorted(tables)]


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
        Options of any stage are wrong, or name files that cannot be read; all are listed.
    FitsReadError
        A file that belongs to this input alone cannot be read.
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
        except FitsReadError as error:
            problems.append(f"stage '{spec.name}', {error}")
            continue
        if stem is not None and any(r.is_per_file for r in stage.options.resources().values()):
            stage = _with_own_files(stage, base, stem)
        stages.append(stage)
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


def forget_stages() -> None:
    """Build stages anew: files that their options name may have changed since the last run."""
    _built.cache_clear()


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


def _psf_identity(source: PsfSource | None) -> Any:
    if source is None:
        return None
    path = source.path
    digest = file_digest(path) if path is not None and path.is_file() else ""
    return {**source.config.model_dump(mode="json"), "digest": digest}


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
