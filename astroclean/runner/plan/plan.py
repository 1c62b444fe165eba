"""What will be done to one file: instrument, stages with their options, PSF, resume key."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from astroclean import __version__
from astroclean.core.flags.conventions import load_convention
from astroclean.errors import FitsReadError, PsfError
from astroclean.io.fits.address import parse_address
from astroclean.io.fits.checksums import digest_and_sums, wrong_sums
from astroclean.io.frames.read import Exposure, ReadSettings
from astroclean.io.products.dq import dq_convention
from astroclean.io.products.names import base_name, split_name
from astroclean.io.resources import file_digest
from astroclean.runner.plan.at_hand import exposure_at_hand, held
from astroclean.runner.plan.build import StageSpec, built_stages, digest_of_content
from astroclean.runner.plan.chunks import ChunkPlan, plan_chunks
from astroclean.runner.plan.needs import check_headers, check_needs
from astroclean.runner.plan.places import absolute_address, without_folders
from astroclean.runner.plan.psf_source import PsfSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from astroclean.config.load import LoadedPipeline
    from astroclean.config.schema import PipelineConfig, ProductsConfig
    from astroclean.core.stage.stage import Stage
    from astroclean.report.model import FileRecord, FileStamp
    from astroclean.runner.plan.at_hand import AtHand

__all__ = [
    "FilePlan",
    "PlanRequest",
    "plan_file",
]


@dataclass(frozen=True)
class PlanRequest:
    """One input of a pipeline."""

    input: str
    pipeline: LoadedPipeline
    stages: tuple[str, ...]
    """Names of the stages that run."""
    sharing: int = 1
    """Workers that share the memory of a machine."""
    source: str = ""
    """The input with its absolute path; by default that of the process that asks."""
    basis: str = ""
    """Digest of what the keys of all files depend on beside the files."""
    known: FileRecord | None = None
    """What is on record of the input; it is not hashed where it certainly has not changed."""
    staging: Path | None = None
    """Where an input that is a URL stays once it is fetched; nowhere by default."""
    headers_only: bool = False
    """Whether the content stays unread: the plan then tells whether the file can be processed, and
    its key means nothing."""

    def __post_init__(self) -> None:
        """Make the path absolute before the request goes to a worker."""
        if not self.source:
            object.__setattr__(self, "source", absolute_address(self.input))


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
    wrong_sums: tuple[str, ...] = ()
    """Which DATASUM is not that of the data."""
    content: str = ""
    """SHA-256 of the input."""
    psf_digest: str = ""
    """SHA-256 of the file of the PSF."""
    version: tuple[int, int] | None = None
    """Size of the input and time of its last change, when it was hashed."""
    tables: tuple[str, ...] = ()
    """Names of the tables that the stages give."""
    shapes: tuple[tuple[int, ...], ...] = ()
    """(ny, nx) of each frame."""
    joint: tuple[str, ...] = ()
    """Names of the stages that take the bands of a sky together."""
    source: str = ""
    """Where the input lies: absolute path or URL, with the HDU; by default that of this process."""
    stamp: FileStamp | None = None
    """What the system said of the input before it was hashed."""
    basis: str = ""
    """As in the request."""
    staging: Path | None = None

    def __post_init__(self) -> None:
        """Make the path absolute before the plan goes to a worker."""
        if not self.source:
            object.__setattr__(self, "source", absolute_address(self.input))

    @property
    def products(self) -> ProductsConfig:
        """What is written of it."""
        return self.pipeline.config.products

    @property
    def base(self) -> str:
        """What the names of its outputs begin with."""
        return base_name(self.path, self.products.name)

    @property
    def path(self) -> Path:
        """The input file, or its URL."""
        return parse_address(self.source).path

    @property
    def psf_source(self) -> PsfSource | None:
        """Where the PSF comes from, if the pipeline says."""
        return _psf_source(self.pipeline, self.stem, digest=self.psf_digest)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Exposure]:
        """Open the input that was planned.

        Yields
        ------
        Exposure
            Closed on leaving the context.

        Raises
        ------
        FitsReadError
            It is not what it was: its key would tell of another content.
        """
        at_hand = exposure_at_hand(self.source, self.settings, self.staging, whole=True)
        with at_hand as (hand, exposure):
            if not hand.is_still(self.version, self.content):
                raise FitsReadError(
                    "was changed while the run lasted",
                    where=self.input,
                    remedy="Run again when it is complete.",
                )
            yield exposure


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
    settings, stem = _read_settings(config), split_name(parse_address(request.source).path)[0]
    with exposure_at_hand(request.source, settings, request.staging) as (hand, exposure):
        specs = _specs(exposure, request)
        built = built_stages(specs, base=request.pipeline.base, stem=stem)
        stages = [one.stage for one in built]
        psf = _checked_psf(request, exposure, stages, stem)
        contradictions = tuple(exposure.contradictions)
        instrument = exposure.instrument.name
        limit = config.run.memory_of_worker(request.sharing)
        chunks = plan_chunks(exposure, stages, config, limit=limit, psf=psf)
        psf_digest = _psf_digest(psf)
        content, sums, stamp = _content(request, hand, exposure)
        identities = [one.identity for one in built]
        shapes = tuple(slot.science.shape[-2:] for slot in exposure.slots)
        key, prefix_keys = _keys(request, exposure, identities, (content, psf_digest))
    return FilePlan(
        input=request.input,
        stem=stem,
        pipeline=request.pipeline,
        settings=settings,
        instrument=instrument,
        specs=_as_planned(specs, identities),
        frames=len(shapes),
        key=key,
        chunks=chunks,
        prefix_keys=prefix_keys,
        contradictions=contradictions,
        wrong_sums=tuple(sums),
        content=content,
        psf_digest=psf_digest,
        version=hand.version,
        tables=tuple(sorted({name for stage in stages for name in stage.tables})),
        shapes=shapes,
        joint=tuple(stage.name for stage in stages if "set" in stage.accepts),
        source=request.source,
        stamp=stamp,
        basis=request.basis,
        staging=request.staging,
    )


def _read_settings(config: PipelineConfig) -> ReadSettings:
    told = config.instrument
    return ReadSettings(told.name, told.overrides(), config.run.reject)


def _content(
    request: PlanRequest, hand: AtHand, exposure: Exposure
) -> tuple[str, list[str], FileStamp | None]:
    """Return digest and wrong sums of an input, and by which stamp they are known again."""
    known = request.known
    if known is not None and known.seen is not None and hand.holds(known, request.source):
        # It is not hashed, so the stamp of then is what is known of its content.
        return known.content, known.seen.wrong_sums, known.seen.input
    if request.headers_only:
        return "", [], None
    if hand.digest:  # hashed as it was fetched
        return hand.digest, wrong_sums(exposure.source), hand.stamp
    return *digest_and_sums(exposure.source, held(hand.path)), hand.stamp


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


def _as_planned(
    specs: Sequence[StageSpec], identities: Sequence[Mapping[str, Any]]
) -> tuple[StageSpec, ...]:
    """Return stages with what they are now, so that no worker takes up another."""
    named = zip(specs, identities, strict=True)
    return tuple(replace(spec, identity=digest_of_content(told)) for spec, told in named)


def _checked_psf(
    request: PlanRequest, exposure: Exposure, stages: Sequence[Stage], stem: str
) -> PsfSource | None:
    """Return where the PSF comes from, once all that stages need is there."""
    check_needs(stages, exposure, request.pipeline.config)
    _check_psf_file(request, stem)
    psf = _psf_source(request.pipeline, stem)
    check_headers(stages, exposure, psf)
    if request.pipeline.config.products.dq == "update":
        for slot in exposure.slots:
            dq_convention(exposure, slot)
    return psf


def _psf_source(pipeline: LoadedPipeline, stem: str, *, digest: str = "") -> PsfSource | None:
    psf = pipeline.config.psf
    return None if psf is None else PsfSource(psf, pipeline.base, stem, digest)


def _check_psf_file(request: PlanRequest, stem: str) -> None:
    source = _psf_source(request.pipeline, stem)
    if source is not None and source.path is not None and not source.path.is_file():
        raise PsfError(
            f"the PSF of {request.input} is not there",
            where=str(source.path),
            remedy="Check psf.file; relative paths refer to the folder of the pipeline.",
        )


def _keys(
    request: PlanRequest,
    exposure: Exposure,
    told: Sequence[Mapping[str, Any]],
    digests: tuple[str, str],
) -> tuple[str, tuple[str, ...]]:
    """Return the resume key, and the keys of the states before each stage.

    ``digests`` are those of input and PSF.
    """
    config = request.pipeline.config
    address = parse_address(request.source)
    identity = {
        "astroclean": __version__,
        "input": digests[0],
        "address": str(address).removeprefix(str(address.path)),
        "instrument": exposure.instrument.model_dump(mode="json"),
        "conventions": _conventions(exposure),
        "overrides": without_folders(config.instrument.overrides()),
        "reject": int(config.run.reject),
        "bands": dict(config.bands),
        "psf": config.psf and {**config.psf.model_dump(mode="json"), "digest": digests[1]},
    }
    whole = {
        **identity,
        "stages": list(told),
        "products": without_folders(config.products.model_dump(mode="json", exclude={"report"})),
        "on_reject": config.run.on_reject,
        "on_suspect": config.run.on_suspect,
    }
    if config.products.mask_as is not None:
        table = load_convention(config.products.mask_as)
        whole["mask values"] = table.model_dump(mode="json")
    before = ({**identity, "stages": list(told[:n])} for n in range(len(told)))
    prefixes = tuple(digest_of_content(content) for content in before)
    return digest_of_content(whole), prefixes


def _conventions(exposure: Exposure) -> list[Any]:
    """Return the tables of mask values of a file: another table, another result."""
    declared = [exposure.masks.declared(slot) for slot in exposure.slots]
    tables = {told.convention.name: told.convention for told in declared if told is not None}
    return [tables[name].model_dump(mode="json") for name in sorted(tables)]


def _psf_digest(source: PsfSource | None) -> str:
    path = None if source is None else source.path
    return file_digest(path) if path is not None and path.is_file() else ""
