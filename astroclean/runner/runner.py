"""`Runner`: plans every file, then lets workers process them; one bad file never stops the rest."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from astroclean.errors import AstrocleanError
from astroclean.io.scratch.folders import remove_left_behind, temporary_folder
from astroclean.report.environment import versions
from astroclean.report.model import ExitCode, FileRecord, FileStatus, RunReport
from astroclean.runner.collection import uncollected
from astroclean.runner.dispatch import Dispatcher
from astroclean.runner.executors import checked_executor, make_executor
from astroclean.runner.output.folder import OutputFolder
from astroclean.runner.output.run_files import write_run_files
from astroclean.runner.output.shards import ShardRecord, forget_shard
from astroclean.runner.plan.at_hand import forget_input
from astroclean.runner.plan.places import absolute_address
from astroclean.runner.plan.preflight import Planner, Preflight
from astroclean.runner.plan.request import Request
from astroclean.runner.signals import ends_like_interrupt
from astroclean.runner.work.outlook import outlooks
from astroclean.runner.work.resume import SMALL, unchanged_records
from astroclean.runner.work.under_way import all_under_way
from astroclean.runner.work.whole import Task, resumed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from astroclean.config.load import LoadedPipeline
    from astroclean.runner.executors import Executor
    from astroclean.runner.plan.course import Course
    from astroclean.runner.work.under_way import UnderWay

__all__ = ["Preflight", "Request", "Runner"]


class Runner:
    """Runs one pipeline.

    Parameters
    ----------
    pipeline : LoadedPipeline
        Validated pipeline.
    request : Request
        Inputs, stages, number of processes.
    output : Path or UrlPath
        Output folder; one in a store by its URL.
    progress : callable, optional
        Called with (finished, total) inputs.
    executor : Executor, optional
        Where files are processed; by default in as many processes as the request says. One that is
        given is not closed: it may serve further runs.

    Raises
    ------
    PluginLoadError
        The executor lacks what `Executor` asks for.
    """

    def __init__(
        self,
        pipeline: LoadedPipeline,
        request: Request,
        *,
        output: Path,
        progress: Callable[[int, int], None] | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.request = request
        self.folder = OutputFolder(output, shard=request.shard)
        # An executor may have a length, and be empty.
        self.executor = (
            make_executor(request.jobs, scheduler=pipeline.scheduler)
            if executor is None
            else checked_executor(executor)
        )
        # Whoever made it closes it.
        self._closing: contextlib.AbstractContextManager[object] = (
            contextlib.closing(self.executor) if executor is None else contextlib.nullcontext()
        )
        self.progress = progress or _silent

    def under_way(self) -> list[UnderWay]:
        """Return how far frames have come that take several chunks; any thread may ask."""
        return all_under_way(self.folder.scratch)

    def check(self) -> Preflight:
        """Check everything that can be checked without reading pixels.

        Returns
        -------
        Preflight
            Plans of the files that can be processed, with what a run would do with each and why,
            and records of those that cannot.

        Raises
        ------
        ConfigurationError, NeedError, PluginError, InstrumentError
            The pipeline itself cannot work.
        NoInputError
            Nothing matched.
        """
        self._begin()
        self.folder.refuse_links()
        temporary = tempfile.TemporaryDirectory(dir=temporary_folder())
        with self._closing, temporary as scratch:
            try:
                planner = self._planner()
                preflight = planner.preflight(simulated_into=Path(scratch))
                course = planner.course(preflight)
                preflight.outlooks = outlooks(
                    preflight.planned, course, self.folder, preflight.earlier
                )
                return preflight
            finally:
                self.folder.let_go()

    def _begin(self) -> None:
        """Begin a run of its own name: what is remembered for an earlier one is forgotten."""
        self.folder = self.folder.again()

    def _planner(self, staging: Path | None = None) -> Planner:
        return Planner(self.pipeline, self.request, self.folder, self.executor, staging)

    def run(self) -> RunReport:
        """Process everything that is not up to date and write report and record.

        Returns
        -------
        RunReport
            With ``exit_code``.

        Raises
        ------
        As :meth:`check`; OutputError where the folder cannot be used.
        """
        started = dt.datetime.now(dt.UTC)
        clock = time.perf_counter()
        self._begin()
        remove_left_behind()
        self.executor.prepare()
        with ends_like_interrupt(), self.folder.locked() as notes, self._closing:
            forget_shard(self.folder)
            staging = self.folder.absolute().scratch / "inputs"
            planner = self._planner(staging)
            preflight = planner.listed(simulated_into=self.folder.path)
            preflight.notes += notes
            records: dict[str, FileRecord] = {}
            interrupted = False
            try:
                with contextlib.closing(self._processed(planner, preflight)) as processed:
                    for record in processed:
                        records[record.input] = record
                        forget_input(record.source or record.input, staging)
            except KeyboardInterrupt:
                interrupted = True
                preflight.notes.append("interrupted; files that are not listed were not processed")
            records = {record.input: record for record in preflight.failed} | records
            report = self._report(preflight, records, interrupted)
            report.started = started.isoformat(timespec="seconds")
            report.seconds = time.perf_counter() - clock
            with uncollected():
                self._write(report, preflight)
        return report

    def _processed(self, planner: Planner, preflight: Preflight) -> Generator[FileRecord]:
        """Yield the record of each file, as it ends; those that are planned in vain are told."""
        total = len(preflight.failed) + sum(map(len, preflight.units))
        done = len(preflight.failed)
        self.progress(done, total)
        course = planner.course(preflight)
        for known in self._unchanged(course, preflight):
            yield from known
            done += len(known)
        with contextlib.closing(self._units_done(planner, course, preflight)) as finished:
            for records in finished:
                yield from records
                done += len(records)
                self.progress(done, total)

    def _unchanged(self, course: Course, preflight: Preflight) -> Generator[list[FileRecord]]:
        """Yield the records of each unit that is up to date unread; leave the other units."""
        if not course.trusts_stamps:
            return
        left = []
        with uncollected():
            for files in preflight.units:
                known = unchanged_records(
                    files, self.folder, course.basis, largest=SMALL, records=preflight.records
                )
                for file in files:
                    preflight.records.pop(file.base, None)  # what is left of it is in `known`
                if known is None:
                    left.append(files)
                else:
                    yield known
        preflight.units = left

    def _units_done(
        self, planner: Planner, course: Course, preflight: Preflight
    ) -> Generator[list[FileRecord]]:
        """Yield the records of each unit that is left, as it ends."""
        dispatcher = Dispatcher(
            self.executor,
            self.folder.absolute(),
            start=self.request.start,
            pictures=self.pipeline.config.products.report,
        )
        if len(preflight.units) < self.executor.workers:
            yield from self._few_done(planner, course, preflight, dispatcher)
            return
        failed = len(preflight.failed)
        number, unit = planner.first_planned(course, preflight)
        yield preflight.failed[failed:]
        if unit is not None:
            tasks = [Task(files, course) for files in preflight.units[number - 1 :]]
            yield from dispatcher.unopened(tasks, frames=unit.frames)

    def _few_done(
        self, planner: Planner, course: Course, preflight: Preflight, dispatcher: Dispatcher
    ) -> Generator[list[FileRecord]]:
        """Yield the records of units that are fewer than workers, who may share their frames."""
        failed = len(preflight.failed)
        files = [file for unit in preflight.units for file in unit]
        units = planner.planned(files, course, preflight, headers_only=True)
        yield preflight.failed[failed:]
        good = {plan.input for unit in units for plan in unit.plans}
        left = [files for files in preflight.units if {file.input for file in files} <= good]
        if not any(dispatcher.is_shared(unit, len(units)) for unit in units):
            tasks = [Task(files, course) for files in left]
            yield from dispatcher.unopened(tasks, frames=max((u.frames for u in units), default=1))
            return
        # Workers must know what they share: all is planned, and read, before.
        failed = len(preflight.failed)
        units = planner.planned([file for unit in left for file in unit], course, preflight)
        yield preflight.failed[failed:]
        resumed_units = [(unit, resumed(unit, course)) for unit in units]
        yield from (records for _, records in resumed_units if records is not None)
        yield from dispatcher.records([u for u, records in resumed_units if records is None])

    def _report(
        self, preflight: Preflight, records: dict[str, FileRecord], interrupted: bool
    ) -> RunReport:
        files = [records[name] for name in sorted(records)]
        for record in files:
            record.source = record.source or _source(record.input)
        failed = any(record.status == FileStatus.FAILED for record in files)
        code = ExitCode.SOME_FAILED if failed else ExitCode.DONE
        return RunReport(
            exit_code=ExitCode.INTERRUPTED if interrupted else code,
            command=list(self.request.command),
            description=self.pipeline.config.description,
            output=str(self.folder.path),
            jobs=self.request.jobs and self.executor.workers,
            config=self.pipeline.config.model_dump(mode="json", by_alias=True),
            origins=dict(self.pipeline.origins),
            versions=versions(),
            machine=f"{platform.system()} {platform.machine()}",
            notes=preflight.notes,
            files=files,
        )

    def _write(self, report: RunReport, preflight: Preflight) -> None:
        """Write record and page of the folder; a shard leaves what `merge` makes them of."""
        shard = self.request.shard
        if shard is None:
            page = self.pipeline.config.products.report
            write_run_files(report, self.folder, preflight.earlier, page=page)
            return
        record = ShardRecord(
            index=shard.index,
            count=shard.count,
            inputs=preflight.inputs,
            selected=list(self.request.stages),
            start=self.request.start,
            stages=preflight.stages,
            report=report,
        )
        try:
            record.save(self.folder)
        except (AstrocleanError, MemoryError) as error:
            report.notes.append(f"the shard is not on record: {error or 'not enough memory'}")
            report.exit_code = report.exit_code or ExitCode.SOME_FAILED


def _silent(done: int, total: int) -> None:
    """Show no progress."""


def _source(name: str) -> str:
    """Return where an input lies, whether or not it could be planned."""
    try:
        return absolute_address(name)
    except AstrocleanError:
        return os.path.abspath(name)  # noqa: PTH100 - links keep their names
