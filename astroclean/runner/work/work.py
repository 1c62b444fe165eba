"""What a worker does: frames through stages, then the files of the unit. It never raises."""

from __future__ import annotations

import contextlib
import time
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from astroclean.errors import AstrocleanError, FitsReadError
from astroclean.report.model import FileStatus
from astroclean.runner.output.catalogs import without_segmentation
from astroclean.runner.output.frame_records import frame_records, kept_science
from astroclean.runner.output.outputs import untranslated_planes, write_outputs
from astroclean.runner.output.records import (
    begun_record,
    faulted,
    record_of,
    rejected_records,
    seen_of,
    suspect_record,
)
from astroclean.runner.plan.build import build_stages
from astroclean.runner.work.apart import BandsApart
from astroclean.runner.work.field import Field
from astroclean.runner.work.field_frames import Origin
from astroclean.runner.work.handed import PartDone, hand_over
from astroclean.runner.work.known import options_of, with_origins
from astroclean.runner.work.remarks import Remarks
from astroclean.runner.work.saved import saved_state, saver
from astroclean.runner.work.stages import faults_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from astroclean.core.stage.results import Score
    from astroclean.core.stage.stage import Stage
    from astroclean.io.frames.read import Exposure
    from astroclean.report.model import FileRecord
    from astroclean.runner.output.folder import OutputFolder
    from astroclean.runner.plan.plan import FilePlan
    from astroclean.runner.plan.units import Unit
    from astroclean.runner.work.state import FrameWork

__all__ = [
    "Job",
    "assemble",
    "field_of",
    "guarded",
    "opened_unit",
    "process",
    "stages_of",
]

Works = "list[list[FrameWork]]"


@dataclass(frozen=True)
class Job:
    """A unit, or some of its fields."""

    unit: Unit
    folder: OutputFolder
    fields: tuple[int, ...]
    is_whole: bool = True
    pictures: bool = True
    start: str | None = None
    """``--from``: the stage before which the saved state is taken up."""


def process(job: Job) -> list[FileRecord] | PartDone:
    """Run the stages on the fields of a job; write the files where it holds the whole unit.

    Parameters
    ----------
    job : Job
        What to do.

    Returns
    -------
    list of FileRecord, or PartDone
        One record a file of the unit; failures are records too.
    """
    done: list[FileRecord] | PartDone = guarded(job, _process)
    return done


def _process(job: Job) -> list[FileRecord] | PartDone:
    started = time.perf_counter()
    with opened_unit(job.unit) as exposures:
        stages = stages_of(job.unit)
        fields = [field_of(job, exposures, number) for number in job.fields]
        screeners = _screeners(job, stages)
        rejected = _screened(job, fields, stages[:screeners])
        if rejected is not None:
            return rejected_records(job.unit, exposures, rejected)
        works = [
            _finished_field(job, field, number, stages, left=stages[screeners:])
            for number, field in zip(job.fields, fields, strict=True)
        ]
        seconds = time.perf_counter() - started
        if not job.is_whole:
            return hand_over(works, job.folder.scratch, seconds=seconds)
        return _finished(job, exposures, works, started)


def assemble(job_and_parts: tuple[Job, Sequence[PartDone]]) -> list[FileRecord] | PartDone:
    """Write the files of a unit whose fields were processed in parts.

    Parameters
    ----------
    job_and_parts : (Job, sequence of PartDone)
        The whole unit, and its parts in order of fields.

    Returns
    -------
    list of FileRecord
        One record a file of the unit.
    """
    job, parts = job_and_parts

    def joined(_: Job) -> list[FileRecord]:
        started = time.perf_counter() - sum(part.seconds for part in parts)
        works = [field for part in parts for field in part.value()]
        with opened_unit(job.unit) as exposures:
            records = _finished(job, exposures, works, started)
        for part in parts:
            part.remove()
        return records

    done: list[FileRecord] | PartDone = guarded(job, joined)
    return done


def guarded(job: Job, function: Callable[[Job], Any]) -> Any:
    """Call a function of a job; what stops it becomes records of its files."""
    started = time.perf_counter()
    try:
        return function(job)
    except (AstrocleanError, MemoryError, OSError) as error:
        return faulted(job.unit, error, seconds=time.perf_counter() - started)


@contextlib.contextmanager
def opened_unit(unit: Unit) -> Iterator[list[Exposure]]:
    """Open the files of a unit, as they were planned."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(plan.opened()) for plan in unit.plans]


def stages_of(unit: Unit) -> list[Stage]:
    """Return the stages that a unit goes through."""
    plan = unit.plans[0]
    return build_stages(plan.specs, base=plan.pipeline.base, stem=plan.stem)


def field_of(job: Job, exposures: Sequence[Exposure], number: int) -> Field | BandsApart:
    """Return one frame, or one set of bands, as it is before the first stage."""
    members = job.unit.members(exposures, number)
    plans = {band: job.unit.plans[index] for band, (index, _) in members.items()}
    origins = {
        band: Origin(exposures[index], slot, plans[band].psf_source)
        for band, (index, slot) in members.items()
    }
    # Kept until the file has been written; the folder of scratch goes with the run.
    scratch = job.folder.scratch / f"{uuid.uuid4().hex}.field"
    if job.unit.is_apart:
        return BandsApart(origins, plans, scratch)
    return Field(origins, job.unit.plans[0], scratch)


def _finished_field(
    job: Job,
    field: Field | BandsApart,
    number: int,
    stages: Sequence[Stage],
    *,
    left: Sequence[Stage],
) -> list[FrameWork]:
    """Take a field through the stages that are left of all."""
    if job.start is not None:
        field.begin_with(saved_state(job.unit, job.folder, number, job.start, field.before()))
        left = stages[[stage.name for stage in stages].index(job.start) :]
    save = saver(job.unit, job.folder, number)
    return field.finished(left, all_stages=stages, pictures=job.pictures, save=save)


def _screeners(job: Job, stages: Sequence[Stage]) -> int:
    """Return how many stages come before the exposure is known to be worth the others."""
    skips = job.unit.plans[0].pipeline.config.run.on_reject == "skip"
    if not skips or not job.is_whole or job.start is not None:
        return 0
    return max((n + 1 for n, stage in enumerate(stages) if stage.kind == "screen"), default=0)


def _screened(
    job: Job, fields: Sequence[Field | BandsApart], stages: Sequence[Stage]
) -> tuple[str, dict[str, float]] | None:
    """Take all fields through screening; return (stage, mean scores) where it rejects them."""
    if not stages:
        return None
    scores: list[Mapping[str, Score]] = []
    for number, field in zip(job.fields, fields, strict=True):
        field.through(stages, saver(job.unit, job.folder, number))
        scores += field.scores
        if len(fields) > 1:
            field.set_aside()
    means, rejected_by = _screening(scores)
    return None if rejected_by is None else (rejected_by, means)


def _screening(scores: Sequence[Any]) -> tuple[dict[str, float], str | None]:
    """Return stage to mean probability over the frames, and the first stage that rejects."""
    names = list(dict.fromkeys(name for frame in scores for name in frame))
    means: dict[str, float] = {}
    rejected_by = None
    for name in names:
        values = [frame[name] for frame in scores if name in frame]
        means[name] = sum(v.probability for v in values) / len(values)
        if rejected_by is None and means[name] > values[0].threshold:
            rejected_by = name
    return means, rejected_by


def _finished(
    job: Job, exposures: Sequence[Exposure], works: Sequence[Sequence[FrameWork]], started: float
) -> list[FileRecord]:
    """Write the files of a unit and remember them as finished."""
    folder, stages = job.folder, stages_of(job.unit)
    records = []
    for index, (plan, exposure) in enumerate(zip(job.unit.plans, exposures, strict=True)):
        own = _told(plan, exposure, _linked(_works_of(job.unit, index, works), stages))
        if len(own) != len(exposure.slots):
            raise FitsReadError(
                "some science HDUs belong to no band", where=plan.input, received=len(own)
            )
        remarks, contradictions = _remarks(plan, exposure, own)
        if remarks.suspect and plan.pipeline.config.run.on_suspect == "fail":
            record = suspect_record(plan, remarks, contradictions, own)
            record.options = options_of(plan, stages)
            records.append(record)
            continue
        folder.begin(plan.base, begun_record(plan))
        try:
            made = write_outputs(plan, exposure, own, folder=folder.local, scratch=folder.scratch)
        except BaseException:
            folder.forget(plan.base)
            raise
        # Where this fails in the middle, what was begun stays on record: it is astroclean's own.
        written = folder.depot.deliver(made)
        record = _done_record(job.unit, plan, own, remarks)
        record.outputs = {name: digest for name, (digest, _) in written.items()}
        record.seen = seen_of(plan, {name: stamp for name, (_, stamp) in written.items() if stamp})
        record.options = options_of(plan, stages)
        record.contradictions = contradictions
        record.skipped_hdus = dict(exposure.grouping.skipped)
        record.seconds = time.perf_counter() - started
        removed = folder.finish(plan.base, record)
        gone = [f"removed {name}, which is not written with these options" for name in removed]
        records.append(record.model_copy(update={"notes": [*record.notes, *gone]}))
    return records


def _told(plan: FilePlan, exposure: Exposure, works: Sequence[FrameWork]) -> list[FrameWork]:
    """Let the records of frames say in full what told their values."""
    layers = plan.pipeline.origins
    return [
        replace(work, record=with_origins(work.record, exposure.resolved(work.output.slot), layers))
        for work in works
    ]


def _linked(works: Sequence[FrameWork], stages: Sequence[Stage]) -> list[FrameWork]:
    """Let stages enter into the tables of the frames of a file what they tell together."""
    linked = list(works)
    for stage in stages:
        for name in sorted(stage.tables):
            having = [number for number, work in enumerate(linked) if name in work.tables]
            with faults_named(stage, ", ".join(w.record.frame_id for w in works), Remarks()):
                told = stage.link(name, [linked[number].tables[name] for number in having])
            for number, table in zip(having, told, strict=True):
                work = linked[number]
                linked[number] = replace(work, tables={**work.tables, name: table})
    return linked


def _done_record(
    unit: Unit, plan: FilePlan, works: Sequence[FrameWork], remarks: Remarks
) -> FileRecord:
    """Return the record of a file that is written, but for what was written."""
    means, rejected_by = _screening([work.scores for work in works])
    return record_of(
        plan,
        FileStatus.DONE,
        key=unit.key,
        notes=remarks.notes,
        suspect=remarks.suspect,
        screening=means,
        rejected_by=rejected_by,
        frames=frame_records(plan, works),
    )


def _remarks(
    plan: FilePlan, exposure: Exposure, works: Sequence[FrameWork]
) -> tuple[Remarks, list[str]]:
    """Return what is to be said of a file, and what of its headers contradicts itself."""
    for slot in exposure.slots:  # frames may have been read in other processes
        exposure.resolved(slot)
    own = Remarks(notes=[*exposure.notes, *exposure.mask_notes()])
    doubts = [*exposure.contradictions, *exposure.masks.doubts(exposure.slots)]
    doubts += plan.wrong_sums
    own.notes += [*untranslated_planes(plan, exposure, works), *without_segmentation(plan, works)]
    own.notes += kept_science(plan, works)
    return sum((work.remarks for work in works), own), list(dict.fromkeys(doubts))


def _works_of(unit: Unit, index: int, works: Sequence[Sequence[FrameWork]]) -> list[FrameWork]:
    """Return the frames of one file of the unit, in the order of its slots."""
    if unit.hdu_bands:
        return sorted(works[0], key=lambda w: w.output.slot.science.index)
    return [field[index] for field in works]
