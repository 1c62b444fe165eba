"""`Runner`: plans every file, then lets workers process them; one bad file never stops the rest."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import platform
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astroclean.errors import AstrocleanError
from astroclean.io.scratch import remove_left_behind, temporary_folder
from astroclean.report.environment import versions
from astroclean.report.history import with_earlier
from astroclean.report.model import ExitCode, FileRecord, FileStatus, RunReport
from astroclean.runner.claims import (
    Claims,
    check_run_files,
    check_simulated,
    earlier_report,
    with_pictures,
)
from astroclean.runner.dispatch import Dispatcher
from astroclean.runner.executors import make_executor
from astroclean.runner.faults import OF_A_HEADER, OF_THE_RUN, raise_joined
from astroclean.runner.folder import OutputFolder
from astroclean.runner.inputs import InputSet, find_inputs
from astroclean.runner.needs import check_extras, check_kept
from astroclean.runner.plan import (
    FilePlan,
    PlanRequest,
    StageSpec,
    absolute_address,
    build_stages,
    forget_stages,
    plan_file,
)
from astroclean.runner.records import failed_record, faulted
from astroclean.runner.saved import is_saved
from astroclean.runner.signals import ends_like_interrupt
from astroclean.runner.units import Unit, lost_fields, make_units

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from astroclean.config.load import LoadedPipeline
    from astroclean.core.stage import Stage
    from astroclean.runner.executors import Executor

__all__ = ["Preflight", "Request", "Runner"]

Progress = "Callable[[int, int], None]"


@dataclass(frozen=True)
class Request:
    """What the user asked for, beside the pipeline itself."""

    inputs: tuple[str, ...] = ()
    input_base: Path | None = None
    """Folder to which inputs refer; by default that of the pipeline."""
    stages: tuple[str, ...] = ()
    """Names of the stages that run."""
    start: str | None = None
    """``--from``."""
    jobs: int = 1
    """Worker processes; with 0, files are processed in this one."""
    overwrite: bool = False
    command: tuple[str, ...] = ()
    """As typed, for the record."""


@dataclass
class Preflight:
    """What is known before the first pixel."""

    plans: list[FilePlan] = field(default_factory=list)
    failed: list[FileRecord] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


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
        Where files are processed; by default in as many processes as the request says.
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
        self.executor = executor or make_executor(request.jobs)
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
        self.folder.refuse_links()
        temporary = tempfile.TemporaryDirectory(dir=temporary_folder())
        with contextlib.closing(self.executor), temporary as scratch:
            return self._preflight(simulated_into=Path(scratch))

    def _preflight(self, *, simulated_into: Path) -> Preflight:
        forget_stages()
        if not self.request.overwrite:
            check_run_files(self.folder, report=self.pipeline.config.products.report)
        self._check_stages()
        found = self._inputs(simulated_into)
        preflight = Preflight(notes=[*self.pipeline.notes, *found.notes])
        preflight.failed = [
            FileRecord(input=name, status=FileStatus.FAILED, error=reason)
            for name, reason in found.failed.items()
        ]
        preflight.plans = self._planned(found.files, preflight)
        self._set_claimed_apart(preflight, [*found.files, *found.failed])
        self._set_widowed_apart(preflight)
        make_units(preflight.plans, self.pipeline.config.bands)
        return preflight

    def _planned(self, files: Sequence[str], preflight: Preflight) -> list[FilePlan]:
        """Return the plans of the files that can be processed; tell the others as failed."""
        requests = [
            PlanRequest(f, self.pipeline, self.request.stages, self.request.jobs) for f in files
        ]
        plans, faults = dict[int, FilePlan](), dict[int, Exception]()
        for index, outcome in self.executor.map(plan_file, requests):
            if isinstance(outcome, FilePlan):
                plans[index] = outcome
            elif isinstance(outcome, OF_THE_RUN):
                faults[index] = outcome
            else:
                preflight.failed.append(failed_record(requests[index].input, outcome))
        # What the pipeline needs of a file and others have is a matter of that file alone.
        of_files = {i: e for i, e in faults.items() if plans and isinstance(e, OF_A_HEADER)}
        raise_joined([error for i, error in faults.items() if i not in of_files])
        preflight.failed += [
            failed_record(requests[i].input, error) for i, error in of_files.items()
        ]
        return [plans[index] for index in sorted(plans)]

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
        remove_left_behind()
        self.executor.prepare()
        with ends_like_interrupt(), self.folder.locked(), contextlib.closing(self.executor):
            preflight = self._preflight(simulated_into=self.folder.path)
            records = {record.input: record for record in preflight.failed}
            interrupted = False
            try:
                for record in self._processed(preflight, len(records)):
                    records[record.input] = record
            except KeyboardInterrupt:
                interrupted = True
                preflight.notes.append("interrupted; files that are not listed were not processed")
            report = self._report(preflight, records, interrupted)
            report.started = started.isoformat(timespec="seconds")
            report.seconds = time.perf_counter() - clock
            self._write(report)
        return report

    def _check_stages(self) -> None:
        """Refuse plugins and options that cannot work, whatever the input."""
        config, faults = self.pipeline.config, list[Exception]()
        stages: list[Stage] = []
        for one in config.stage:
            spec = StageSpec(one.name, one.plugin, one.options)
            try:
                stages += build_stages([spec], base=self.pipeline.base, stem=None)
            except AstrocleanError as error:
                faults.append(error)
        raise_joined(faults)
        check_kept(stages, config)
        check_extras(config)

    def _inputs(self, simulated_into: Path) -> InputSet:
        config, name = self.pipeline.config.input, self.pipeline.config.products.name
        if self.request.inputs:
            base = self.request.input_base or self.pipeline.base
            return find_inputs(self.request.inputs, base=base, name=name)
        if config.simulate is not None:
            from astroclean.simulate.exposure import write_exposure  # noqa: PLC0415

            path = simulated_into / f"simulated_{config.simulate.kind}.fits"
            if not self.request.overwrite and simulated_into == self.folder.path:
                check_simulated(self.folder, path.name)
            write_exposure(path, seed=config.simulate.seed)
            return InputSet([str(path)])
        return find_inputs(config.files, base=self.pipeline.base, name=name)

    def _set_claimed_apart(self, preflight: Preflight, inputs: Sequence[str]) -> None:
        """Never overwrite an input, nor what others wrote or another input gave."""
        claims = Claims(self.folder, earlier_report(self.folder), self.request.overwrite)
        problems = claims.problems(preflight.plans, inputs)
        preflight.failed += [
            failed_record(name, AstrocleanError(problem.removesuffix(".")))
            for name, problem in problems.items()
        ]
        preflight.plans = [plan for plan in preflight.plans if plan.input not in problems]
        preflight.notes += claims.notes

    def _set_widowed_apart(self, preflight: Preflight) -> None:
        """Leave out the files whose field lacks a band because another input failed."""
        failed = [record.input for record in preflight.failed]
        widowed = lost_fields(preflight.plans, self.pipeline.config.bands, failed)
        preflight.failed += [
            failed_record(name, AstrocleanError(why)) for name, why in widowed.items()
        ]
        preflight.plans = [plan for plan in preflight.plans if plan.input not in widowed]

    def _processed(self, preflight: Preflight, already: int) -> Any:
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
            self.folder.path,
            jobs=self.request.jobs,
            start=self.request.start,
            pictures=self.pipeline.config.products.report,
        )
        for records in dispatcher.records(todo):
            yield from records
            done += len(records)
            self.progress(done, total)

    def _finished(self, unit: Unit) -> list[FileRecord] | None:
        found = [self.folder.finished(plan.base, unit.key) for plan in unit.plans]
        kept = self.pipeline.config.run.keep_stages
        if (
            self.request.overwrite
            or any(record is None for record in found)
            or (kept and not is_saved(unit, self.folder.path))
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
            jobs=self.request.jobs,
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
