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
from astroclean.report.history import with_earlier
from astroclean.report.model import ExitCode, FileRecord, FileStatus, RunReport
from astroclean.runner.dispatch import Dispatcher
from astroclean.runner.executors import checked_executor, make_executor
from astroclean.runner.output.claims import earlier_report, with_pictures
from astroclean.runner.output.folder import OutputFolder
from astroclean.runner.output.records import faulted
from astroclean.runner.plan.places import absolute_address
from astroclean.runner.plan.preflight import Planner, Preflight, Request
from astroclean.runner.plan.units import Unit, make_units
from astroclean.runner.signals import ends_like_interrupt
from astroclean.runner.work.saved import is_saved

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from astroclean.config.load import LoadedPipeline
    from astroclean.runner.executors import Executor

__all__ = ["Preflight", "Request", "Runner"]


class Runner:
    """Runs one pipeline.

    Parameters
    ----------
    pipeline : LoadedPipeline
        Validated pipeline.
    request : Request
        Inputs, stages, number of processes.
    output : Path
        Output folder.
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
        self.folder = OutputFolder(output)
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

    def check(self) -> Preflight:
        """Check everything that can be checked without reading pixels.

        Returns
        -------
        Preflight
            Plans of the files that can be processed, records of those that cannot.

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
            return self._planner().preflight(simulated_into=Path(scratch))

    def _begin(self) -> None:
        """Begin a run of its own name: what is remembered for an earlier one is forgotten."""
        self.folder = OutputFolder(self.folder.path)

    def _planner(self) -> Planner:
        return Planner(self.pipeline, self.request, self.folder, self.executor)

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
        with ends_like_interrupt(), self.folder.locked(), self._closing:
            preflight = self._planner().preflight(simulated_into=self.folder.path)
            records = {record.input: record for record in preflight.failed}
            interrupted = False
            try:
                with contextlib.closing(self._processed(preflight, len(records))) as processed:
                    for record in processed:
                        records[record.input] = record
            except KeyboardInterrupt:
                interrupted = True
                preflight.notes.append("interrupted; files that are not listed were not processed")
            report = self._report(preflight, records, interrupted)
            report.started = started.isoformat(timespec="seconds")
            report.seconds = time.perf_counter() - clock
            self._write(report)
        return report

    def _processed(self, preflight: Preflight, already: int) -> Generator[FileRecord]:
        """Yield the record of each file, as it ends."""
        units = make_units(preflight.plans, self.pipeline.config.bands)
        total = already + sum(len(unit.plans) for unit in units)
        done = already
        self.progress(done, total)
        todo = []
        for unit in units:
            try:
                finished = self._finished(unit)
            except (AstrocleanError, MemoryError, OSError) as error:
                finished = faulted(unit, error)
            if finished is None:
                todo.append(unit)
                continue
            yield from finished
            done += len(finished)
            self.progress(done, total)
        dispatcher = Dispatcher(
            self.executor,
            self.folder.absolute(),
            start=self.request.start,
            pictures=self.pipeline.config.products.report,
        )
        with contextlib.closing(dispatcher.records(todo)) as finished_units:
            for records in finished_units:
                yield from records
                done += len(records)
                self.progress(done, total)

    def _finished(self, unit: Unit) -> list[FileRecord] | None:
        found = [self.folder.finished(plan.base, unit.key) for plan in unit.plans]
        kept = self.pipeline.config.run.keep_stages
        if (
            self.request.overwrite
            or any(record is None for record in found)
            or (kept and not is_saved(unit, self.folder))
        ):
            for plan in unit.plans:
                self.folder.reopen(plan.base)
            return None
        records = [record for record in found if record is not None]
        for record, plan in zip(records, unit.plans, strict=True):
            record.status = FileStatus.UP_TO_DATE
            record.input, record.source = plan.input, plan.source
        return records

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

    def _write(self, report: RunReport) -> None:
        """Write record and page of the folder; where there is no room, the run has failed."""
        joined = with_earlier(report, earlier_report(self.folder), is_there=self.folder.is_there)
        try:
            self.folder.write_text("run.json", joined.to_json())
            if self.pipeline.config.products.report:
                from astroclean.report.html import render_report  # noqa: PLC0415 - Jinja2 on use

                page = render_report(with_pictures(joined, self.folder))
                self.folder.write_text("report.html", page)
        except (AstrocleanError, MemoryError) as error:
            report.notes.append(f"the run is not on record: {error or 'not enough memory'}")
            report.exit_code = report.exit_code or ExitCode.SOME_FAILED


def _silent(done: int, total: int) -> None:
    """Show no progress."""


def _source(name: str) -> str:
    """Return where an input lies, whether or not it could be planned."""
    try:
        return absolute_address(name)
    except AstrocleanError:
        return os.path.abspath(name)  # noqa: PTH100 - links keep their names
