"""Share units among processes: whole files, or their frames or chunks where there are few files."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from astroclean.errors import AstrocleanError
from astroclean.report.html import MAX_PICTURES
from astroclean.runner.calls import OfRun
from astroclean.runner.output.records import failed_records, failed_unit, faulted
from astroclean.runner.work.handed import PartDone
from astroclean.runner.work.spread import (
    Advance,
    ChunkCall,
    PassReady,
    advance,
    do_chunk,
    is_spread,
)
from astroclean.runner.work.under_way import Watch
from astroclean.runner.work.whole import work_through
from astroclean.runner.work.work import Job, assemble, process

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from astroclean.report.model import FileRecord
    from astroclean.runner.executors import Executor
    from astroclean.runner.output.folder import OutputFolder
    from astroclean.runner.plan.units import Unit
    from astroclean.runner.work.whole import Task

__all__ = ["Dispatcher"]


@dataclass(frozen=True)
class Dispatcher:
    """Gives jobs to an executor and joins what comes back.

    The result does not depend on how a unit is shared: each frame is processed alone, and the
    files are written from all its frames in order.
    """

    executor: Executor
    folder: OutputFolder
    """By its absolute path: workers may have another working directory."""
    start: str | None = None
    pictures: bool = True

    def is_shared(self, unit: Unit, units: int) -> bool:
        """Return whether workers share frames or chunks of a unit, where there are so many."""
        (whole,) = self._wholes([unit])
        return self._is_spread(whole, units) or len(self._shared(whole, units)) > 1

    def _is_spread(self, whole: Job, units: int) -> bool:
        few = units < self.executor.workers
        return few and is_spread(whole, workers=self.executor.workers)

    def records(self, units: Sequence[Unit]) -> Generator[list[FileRecord]]:
        """Process units.

        Parameters
        ----------
        units : sequence of Unit
            What is to be done.

        Yields
        ------
        list of FileRecord
            The records of one unit, as it ends.
        """
        wholes, spread = list[Job](), list[Job]()
        for whole in self._wholes(units):
            (spread if self._is_spread(whole, len(units)) else wholes).append(whole)
        for whole in spread:
            yield self._in_chunks(whole)
        jobs = [job for whole in wholes for job in self._shared(whole, len(units))]
        parts: dict[str, list[tuple[int, PartDone]]] = {}
        broken: set[str] = set()
        for index, outcome in self._calls(process, jobs):
            job = jobs[index]
            # By name, not by key: copies of one file have the same key.
            name = job.unit.name
            if isinstance(outcome, PartDone):
                parts.setdefault(name, []).append((job.fields[0], outcome))
            elif name not in broken:
                broken.add(name)
                yield _records(job.unit, outcome)
        joined = [
            (whole, [part for _, part in sorted(parts[whole.unit.name], key=lambda p: p[0])])
            for whole in wholes
            if whole.unit.name in parts and whole.unit.name not in broken
        ]
        for index, outcome in self._calls(assemble, joined):
            yield _records(joined[index][0].unit, outcome)

    def unopened(self, tasks: Sequence[Task], *, frames: int) -> Generator[list[FileRecord]]:
        """Work units through that nobody has opened yet, each in one call.

        Parameters
        ----------
        tasks : sequence of Task
            No unit is shared among workers.
        frames : int
            Of the first. As if all had as many, some are told to draw pictures.

        Yields
        ------
        list of FileRecord
            The records of one unit, as it ends.
        """
        pictured = MAX_PICTURES // max(frames, 1) + 1 if self.pictures else 0
        told = [replace(task, pictures=number < pictured) for number, task in enumerate(tasks)]
        for index, outcome in self._calls(work_through, told):
            if isinstance(outcome, list):
                yield outcome
                continue
            names = [file.input for file in tasks[index].files]
            yield failed_unit(names, dict.fromkeys(names, outcome))

    def _in_chunks(self, whole: Job) -> list[FileRecord]:
        """Process a unit chunk by chunk, each wherever a worker is free."""
        whole = replace(whole, unit=self._with_more_chunks(whole.unit))
        parts = []
        for number in whole.fields:
            works = self._field_in_chunks(replace(whole, fields=(number,), is_whole=False))
            if not isinstance(works, PartDone):
                return _records(whole.unit, works)
            parts.append(works)
        (outcome,) = (outcome for _, outcome in self._calls(assemble, [(whole, parts)]))
        return _records(whole.unit, outcome)

    def _field_in_chunks(self, job: Job) -> Any:
        """Return the works of a field as a `PartDone`, or what stopped it."""
        call, watch = Advance(job), Watch(job.unit.name, self.folder.scratch / uuid.uuid4().hex)
        while True:
            ((_, ready),) = self._calls(advance, [call])
            if not isinstance(ready, PassReady):
                return ready
            chunks = [ChunkCall(job, ready, number) for number in range(ready.chunks)]
            done: dict[int, PartDone] = {}
            ended = self._calls(do_chunk, chunks)
            watched = watch.beside(ended, _stages_of_pass(job, ready.number), ready.chunks)
            with contextlib.closing(ended), contextlib.closing(watched) as outcomes:
                for number, outcome in outcomes:
                    if not isinstance(outcome, PartDone):
                        return outcome
                    done[number] = outcome
            call = Advance(job, ready, tuple(done[number] for number in sorted(done)))

    def _with_more_chunks(self, unit: Unit) -> Unit:
        workers = self.executor.workers
        plans = [
            plan
            if plan.chunks is None
            else replace(plan, chunks=plan.chunks.shared(plan.shapes[0][0], workers))
            for plan in unit.plans
        ]
        return replace(unit, plans=tuple(plans))

    def _calls(
        self, function: Callable[[Any], Any], items: Sequence[Any]
    ) -> Generator[tuple[int, Any]]:
        """Yield what the executor does; no call is under way any more when this is left."""
        call = OfRun(self.folder.run, function, self.folder.shared_mark)
        with contextlib.closing(self.executor.map(call, items)) as done:
            yield from done

    def _wholes(self, units: Sequence[Unit]) -> list[Job]:
        wholes = []
        frames = 0
        for unit in units:
            pictures = self.pictures and frames < MAX_PICTURES
            fields = tuple(range(unit.fields))
            wholes.append(Job(unit, self.folder, fields, True, pictures, self.start))
            frames += unit.frames
        return wholes

    def _shared(self, whole: Job, units: int) -> list[Job]:
        """Return one job for a unit, or one a frame where there are fewer units than processes."""
        screened = whole.unit.plans[0].pipeline.config.run.on_reject == "skip"
        if units >= self.executor.workers or whole.unit.fields == 1 or screened:
            return [whole]
        return [
            Job(whole.unit, whole.folder, (number,), False, whole.pictures, whole.start)
            for number in whole.fields
        ]


def _stages_of_pass(job: Job, number: int) -> str:
    plan = job.unit.plans[0]
    passes = plan.chunks.passes if plan.chunks is not None else ()
    first = sum(one.stages for one in passes[:number])
    return ", ".join(spec.name for spec in plan.specs[first : first + passes[number].stages])


def _records(unit: Unit, outcome: Any) -> list[FileRecord]:
    if isinstance(outcome, list):
        return outcome
    if isinstance(outcome, (AstrocleanError, MemoryError, OSError)):
        return faulted(unit, outcome)
    problem = f"{unit.plans[0].input}: {outcome or type(outcome).__name__}."
    return failed_records(unit, problem, seconds=getattr(outcome, "seconds", 0.0))
