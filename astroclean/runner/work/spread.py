"""One frame, or the bands of one sky, whose chunks are processed by several workers.

The loop is that of `Field`: survey, chunks, survey, chunks, until the frames are whole. Here every
chunk is a call of its own; what lies between is one call, that puts the chunks of a pass together
in order of their rows and surveys for the next. So the bytes are those of a single worker.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from astroclean.runner.work.field import Field
from astroclean.runner.work.handed import PartDone, hand_over
from astroclean.runner.work.work import Job, field_of, guarded, opened_unit, stages_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from astroclean.core.stage.stage import Stage
    from astroclean.report.model import FileRecord
    from astroclean.runner.plan.chunks import ChunkRows, Pass
    from astroclean.runner.work.field import Progress
    from astroclean.runner.work.state import FrameState

__all__ = ["Advance", "ChunkCall", "PassReady", "advance", "do_chunk", "is_spread"]


@dataclass(frozen=True)
class PassReady:
    """A field is ready for the chunks of a pass."""

    number: int
    """Of the pass."""
    chunks: int
    """How many there are."""
    progress: PartDone


@dataclass(frozen=True)
class ChunkCall:
    """A chunk to be taken through the stages of a pass."""

    job: Job
    """Of one field."""
    ready: PassReady
    chunk: int
    """Which of the pass."""


@dataclass(frozen=True)
class Advance:
    """The chunks of a pass are done: they are to be put together."""

    job: Job
    """Of one field."""
    ready: PassReady | None = None
    """The pass; None before the first."""
    parts: tuple[PartDone, ...] = ()
    """Its chunks, in order."""


def is_spread(job: Job, *, workers: int) -> bool:
    """Return whether the chunks of a job are to be calls of their own.

    Parameters
    ----------
    job : Job
        A whole unit.
    workers : int
        Of the executor.
    """
    plan = job.unit.plans[0]
    if workers == 1 or plan.chunks is None or job.unit.is_apart or job.start is not None:
        return False
    if plan.pipeline.config.run.on_reject == "skip":
        return False  # screening may end the work on all frames of the file
    height = plan.shapes[0][0]
    return any(one.rows < height for one in plan.chunks.passes)


def do_chunk(call: ChunkCall) -> list[FileRecord] | PartDone:
    """Take a chunk through the stages of its pass.

    Parameters
    ----------
    call : ChunkCall
        Which.

    Returns
    -------
    PartDone, or list of FileRecord
        Its state, band by band; records of the unit where it failed.
    """

    def done(job: Job) -> PartDone:
        started = time.perf_counter()
        with _field(job) as (field, stages):
            progress: Progress = call.ready.progress.value()
            field.go_on(progress)
            rows, group = _passes(job, stages)[call.ready.number]
            chunk = _chunks(field, rows)[call.chunk]
            after = field.chunk_after(chunk, group, progress)
            return hand_over(after, job.folder.scratch, seconds=time.perf_counter() - started)

    outcome: list[FileRecord] | PartDone = guarded(call.job, done)
    return outcome


def advance(call: Advance) -> list[FileRecord] | PassReady | PartDone:
    """Put the chunks of a pass together, and make ready for the next.

    Parameters
    ----------
    call : Advance
        Which.

    Returns
    -------
    PassReady, PartDone, or list of FileRecord
        The next pass; after the last, the works of the field; records of the unit where it failed.
    """
    outcome: list[FileRecord] | PassReady | PartDone = guarded(call.job, lambda _: _advanced(call))
    return outcome


def _advanced(call: Advance) -> PassReady | PartDone:
    job, started = call.job, time.perf_counter()
    with _field(job) as (field, stages):
        passes = _passes(job, stages)
        number = 0
        if call.ready is not None:
            number = call.ready.number + 1
            field.go_on(call.ready.progress.value())
            before = passes[call.ready.number][0]
            loads = [partial(_taken, part) for part in call.parts]
            chunks = zip(_chunks(field, before), loads, strict=True)
            ends = field.gather(chunks, last=number == len(passes))
            call.ready.progress.remove()
            if ends is not None:
                works = [field.works(ends, stages, pictures=job.pictures)]
                return hand_over(works, job.folder.scratch, seconds=time.perf_counter() - started)
        rows, group = passes[number]
        progress = field.progress(rows, group)
        seconds = time.perf_counter() - started
        ready = hand_over(progress, job.folder.scratch, seconds=seconds)
        return PassReady(number, len(_chunks(field, rows)), ready)


def _taken(part: PartDone) -> Mapping[str, FrameState]:
    states: Mapping[str, FrameState] = part.value()
    part.remove()
    return states


@contextlib.contextmanager
def _field(job: Job) -> Iterator[tuple[Field, Sequence[Stage]]]:
    """Give the field of a job with its files open, and the stages."""
    (number,) = job.fields
    with opened_unit(job.unit) as exposures:
        field: Any = field_of(job, exposures, number)
        assert isinstance(field, Field)
        yield field, stages_of(job.unit)


def _passes(job: Job, stages: Sequence[Stage]) -> list[tuple[Pass, Sequence[Stage]]]:
    """Return the passes over the frames, each with its stages."""
    plan = job.unit.plans[0].chunks
    assert plan is not None
    found, first = [], 0
    for rows in plan.passes:
        found.append((rows, stages[first : first + rows.stages]))
        first += rows.stages
    return found


def _chunks(field: Field, rows: Pass) -> list[ChunkRows]:
    return list(rows.chunks(field.frames.height))
