"""What is known before the first pixel: stages, inputs, a plan of each file, what is in the way."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from astroclean.core.run_cache import begin_run
from astroclean.errors import AstrocleanError
from astroclean.report.model import FileRecord, FileStatus
from astroclean.runner.calls import OfRun
from astroclean.runner.output.claims import Claims, check_run_files, check_simulated, earlier_report
from astroclean.runner.output.records import failed_record
from astroclean.runner.plan.build import StageSpec, build_stages
from astroclean.runner.plan.faults import OF_A_HEADER, OF_THE_RUN, raise_joined
from astroclean.runner.plan.inputs import InputSet, find_inputs
from astroclean.runner.plan.needs import check_kept
from astroclean.runner.plan.places import absolute_pipeline
from astroclean.runner.plan.plan import FilePlan, PlanRequest, plan_file
from astroclean.runner.plan.units import lost_fields, make_units

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from astroclean.config.load import LoadedPipeline
    from astroclean.core.stage.stage import Stage
    from astroclean.runner.executors import Executor
    from astroclean.runner.output.folder import OutputFolder

__all__ = ["Planner", "Preflight", "Request"]


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


@dataclass(frozen=True)
class Planner:
    """Checks a pipeline and its inputs, and plans each file."""

    pipeline: LoadedPipeline
    request: Request
    folder: OutputFolder
    executor: Executor

    def preflight(self, *, simulated_into: Path) -> Preflight:
        """Check everything that can be checked without reading pixels.

        Parameters
        ----------
        simulated_into : Path
            Folder for a simulated input, where the pipeline has one.

        Returns
        -------
        Preflight
            Plans of the files that can be processed, records of those that cannot.

        Raises
        ------
        As :meth:`astroclean.runner.runner.Runner.check`.
        """
        begin_run(self.folder.run)
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
        pipeline = absolute_pipeline(self.pipeline)
        # Only where it matters: an executor may hold its workers to the number that it tells.
        limit = self.pipeline.config.run.max_memory
        sharing = 1 if limit is None else self.executor.workers_of_host
        requests = [PlanRequest(f, pipeline, self.request.stages, sharing) for f in files]
        plans, faults = dict[int, FilePlan](), dict[int, Exception]()
        calls = self.executor.map(OfRun(self.folder.run, plan_file), requests)
        with contextlib.closing(calls):
            for index, outcome in calls:
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
