"""What is known before the first pixel: stages, inputs, a plan of each file, what is in the way."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from astroclean.config.kept import Offer, product_problems
from astroclean.core.run_cache import begin_run
from astroclean.errors import AstrocleanError, ConfigurationError
from astroclean.report.model import FileRecord, FileStatus
from astroclean.runner.calls import OfRun
from astroclean.runner.collection import uncollected
from astroclean.runner.output.claims import Claims, check_run_files, check_simulated, earlier_runs
from astroclean.runner.output.records import failed_record, failed_unit
from astroclean.runner.plan.basis import basis_of
from astroclean.runner.plan.build import StageSpec, built_stages, digest_of_content
from astroclean.runner.plan.course import Course, plan_request
from astroclean.runner.plan.faults import OF_A_HEADER, OF_THE_RUN, raise_joined
from astroclean.runner.plan.inputs import InputSet, find_inputs
from astroclean.runner.plan.listing import Listed, Listing
from astroclean.runner.plan.places import absolute_pipeline
from astroclean.runner.plan.plan import FilePlan, plan_file
from astroclean.runner.plan.units import Unit, grouped, lost_fields, make_units

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from astroclean.config.load import LoadedPipeline
    from astroclean.report.record_file import Earlier
    from astroclean.runner.executors import Executor
    from astroclean.runner.output.folder import OutputFolder
    from astroclean.runner.plan.build import BuiltStage
    from astroclean.runner.plan.request import Request
    from astroclean.runner.work.outlook import Outlook

__all__ = ["Planner", "Preflight"]


@dataclass
class Preflight:
    """What is known before the first pixel."""

    plans: list[FilePlan] = field(default_factory=list)
    planned: list[Unit] = field(default_factory=list)
    """The units that the plans make."""
    failed: list[FileRecord] = field(default_factory=list)
    outlooks: list[Outlook] = field(default_factory=list)
    """What a run would do with the file of each plan, where that was asked for."""
    notes: list[str] = field(default_factory=list)
    inputs: str = ""
    """Digest of the names of all inputs, those of other shards among them."""
    stages: dict[str, str] = field(default_factory=dict)
    """Name of each stage to a digest of its version, options and files."""
    units: list[tuple[Listed, ...]] = field(default_factory=list)
    """What is to be processed, before any of it is opened: the files of each unit."""
    basis: str = ""
    """Digest of what the keys of all files depend on beside the files."""
    earlier: Earlier | None = None
    """What earlier runs left in the folder."""
    records: dict[str, FileRecord] = field(default_factory=dict)
    """By base, what is on record of the files that may be up to date."""


@dataclass(frozen=True)
class Planner:
    """Checks a pipeline and its inputs, and plans each file."""

    pipeline: LoadedPipeline
    request: Request
    folder: OutputFolder
    executor: Executor
    staging: Path | None = None
    """Where inputs that are URLs stay until they are done; with None until they are planned."""

    def preflight(self, *, simulated_into: Path) -> Preflight:
        """Check everything that can be checked without reading pixels: plan every file.

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
        preflight = self.listed(simulated_into=simulated_into)
        files = [file for unit in preflight.units for file in unit]
        preflight.planned = self.planned(files, self.course(preflight), preflight)
        preflight.plans = [plan for unit in preflight.planned for plan in unit.plans]
        return preflight

    def listed(self, *, simulated_into: Path) -> Preflight:
        """Check everything that can be checked without opening an input.

        Parameters
        ----------
        simulated_into : Path
            As for :meth:`preflight`.

        Returns
        -------
        Preflight
            Units to process, records of the inputs that cannot be.

        Raises
        ------
        ConfigurationError, PluginError, NoInputError, OutputError
            The pipeline cannot work, nothing matched, or the folder is somebody else's.
        """
        begin_run(self.folder.run)
        self._check_store()
        if not self.request.overwrite:
            check_run_files(self.folder, report=self.pipeline.config.products.report)
        stages = self._checked_stages()
        with uncollected():
            return self._looked_at(self._inputs(simulated_into), stages)

    def _looked_at(self, found: InputSet, stages: Sequence[BuiltStage]) -> Preflight:
        """Return what names, records and folders tell of the inputs that were found."""
        config = self.pipeline.config
        listing = Listing(found.files, list(found.failed), config.bands, self.request.shard)
        preflight = Preflight(notes=[*self.pipeline.notes, *found.notes])
        preflight.earlier = earlier_runs(self.folder)
        if preflight.earlier is None and self.folder.is_there("run.json"):
            told = f"{self.folder.path / 'run.json'} cannot be read: what it tells of is left out"
            preflight.notes.append(told)
        preflight.basis = basis_of(self.pipeline, stages)
        if self.request.shard is not None:
            preflight.inputs = listing.digest
            preflight.stages = {b.stage.name: digest_of_content(b.identity) for b in stages}
        preflight.failed = [
            FileRecord(input=name, status=FileStatus.FAILED, error=reason)
            for name, reason in found.failed.items()
            if listing.is_own(name)
        ]
        tables = tuple(sorted({name for built in stages for name in built.stage.tables}))
        versions = found.versions
        files = [Listed(t, config.products, tables, versions.get(t)) for t in found.files]
        own = self._unclaimed(files, listing, preflight, list(found.failed))
        by_file = any(not text.startswith("[") for text in config.bands.values())
        preflight.units = (
            [tuple(one.values()) for one in grouped(own, [f.path.name for f in own], config.bands)]
            if by_file
            else [(file,) for file in own]
        )
        return preflight

    def _check_store(self) -> None:
        """Refuse what is kept beside the results as files, where those go to a store."""
        config, problems = self.pipeline.config, list[str]()
        if self.folder.is_remote and (config.run.keep_stages or self.request.start is not None):
            problems.append("saved stages (`run.keep_stages`, `--from`) are large files")
        if self.folder.is_remote and config.input.simulate and not self.request.inputs:
            problems.append("a simulated input is written beside its result")
        if problems:
            told = f"{' and '.join(problems)}: name a folder of a file system with -o"
            raise ConfigurationError(told, where=str(self.folder.path))

    def _unclaimed(
        self,
        files: Sequence[Listed],
        listing: Listing,
        preflight: Preflight,
        failed: Sequence[str],
    ) -> list[Listed]:
        """Return own files; those that would overwrite what is not theirs are told as failed.

        So are those whose field lacks a band because another input failed.
        """
        own = [file for file in files if listing.is_own(file.input)]
        self.folder.gather_records(file.base for file in own)
        claims = Claims(
            self.folder, preflight.earlier, self.request.overwrite, basis=preflight.basis
        )
        problems = claims.problems(files, own, failed)
        preflight.records = claims.records
        preflight.notes += claims.notes
        lost = [*(name for name in failed if listing.is_own(name)), *problems]
        left = [file for file in own if file.input not in problems]
        problems |= lost_fields(left, self.pipeline.config.bands, lost)
        preflight.failed += [
            failed_record(name, AstrocleanError(problem.removesuffix(".")))
            for name, problem in problems.items()
        ]
        return [file for file in left if file.input not in problems]

    def course(self, preflight: Preflight) -> Course:
        """Return what is the same for all units of the run."""
        request = self.request
        # Only where it matters: an executor may hold its workers to the number that it tells.
        limit = self.pipeline.config.run.max_memory
        return Course(
            absolute_pipeline(self.pipeline),
            request.stages,
            self.folder.absolute(),
            sharing=1 if limit is None else self.executor.workers_of_host,
            basis=preflight.basis,
            start=request.start,
            staging=self.staging,
            verify=request.verify,
            overwrite=request.overwrite,
        )

    def planned(
        self,
        files: Sequence[Listed],
        course: Course,
        preflight: Preflight,
        *,
        headers_only: bool = False,
    ) -> list[Unit]:
        """Return the units of files that can be processed; tell the others as failed.

        Parameters
        ----------
        files : sequence of Listed
            All files of the units in question.
        course : Course
            Of the run.
        preflight : Preflight
            Gets the records of those that failed.
        headers_only : bool
            Whether the content stays unread: keys then mean nothing.

        Raises
        ------
        As :meth:`astroclean.runner.runner.Runner.check`.
        """
        plans, faults = self._plans(files, course, headers_only=headers_only)
        of_run = {i: e for i, e in faults.items() if isinstance(e, OF_THE_RUN)}
        # What the pipeline needs of a file and others have is a matter of that file alone.
        of_files = {i: e for i, e in of_run.items() if plans and isinstance(e, OF_A_HEADER)}
        raise_joined([error for i, error in of_run.items() if i not in of_files])
        failed = [failed_record(files[i].input, error) for i, error in faults.items()]
        good = [plans[index] for index in sorted(plans)]
        bands = self.pipeline.config.bands
        widowed = lost_fields(good, bands, [record.input for record in failed])
        failed += [failed_record(name, AstrocleanError(why)) for name, why in widowed.items()]
        preflight.failed += failed
        return make_units([plan for plan in good if plan.input not in widowed], bands)

    def first_planned(self, course: Course, preflight: Preflight) -> tuple[int, Unit | None]:
        """Plan units in order until one can be processed: a pipeline that cannot work ends here.

        They are planned from their headers alone: whoever processes one reads it.

        Parameters
        ----------
        course : Course
            Of the run.
        preflight : Preflight
            Gets the records of the files before it, which failed.

        Returns
        -------
        (int, Unit or None)
            How many units were looked at, and the last, whose key means nothing; None where none
            can be processed.

        Raises
        ------
        As :meth:`astroclean.runner.runner.Runner.check`.
        """
        needs: list[tuple[tuple[Listed, ...], dict[str, Exception]]] = []
        for number, files in enumerate(preflight.units, 1):
            plans, faults = self._plans(files, course, headers_only=True)
            named = {files[index].input: error for index, error in faults.items()}
            of_run = [error for error in named.values() if isinstance(error, OF_THE_RUN)]
            raise_joined([error for error in of_run if not isinstance(error, OF_A_HEADER)])
            if of_run:  # a matter of these files, if others have what the pipeline needs
                needs.append((files, named))
            elif faults:
                preflight.failed += failed_unit([file.input for file in files], named)
            else:
                for other, why in needs:
                    preflight.failed += failed_unit([file.input for file in other], why)
                ordered = [plans[index] for index in range(len(files))]
                return number, make_units(ordered, self.pipeline.config.bands)[0]
        errors = [error for _, named in needs for error in named.values()]
        raise_joined([error for error in errors if isinstance(error, OF_THE_RUN)])
        return len(preflight.units), None

    def _plans(
        self, files: Sequence[Listed], course: Course, *, headers_only: bool = False
    ) -> tuple[dict[int, FilePlan], dict[int, Exception]]:
        """Return the plans of files, and what is wrong with the others, by their indices."""
        plans, faults = dict[int, FilePlan](), dict[int, Exception]()
        requests = [plan_request(file, course, headers_only=headers_only) for file in files]
        calls = self.executor.map(OfRun(self.folder.run, plan_file), requests)
        with contextlib.closing(calls):
            for index, outcome in calls:
                if isinstance(outcome, FilePlan):
                    plans[index] = outcome
                else:
                    faults[index] = outcome
        return plans, faults

    def _checked_stages(self) -> list[BuiltStage]:
        """Refuse plugins and options that cannot work, whatever the input; return what runs."""
        config = self.pipeline.config
        specs = [StageSpec(one.name, one.plugin, one.options) for one in config.stage]
        try:
            stages = built_stages(specs, base=self.pipeline.base, stem=None)
        except AstrocleanError:
            raise_joined(self.pipeline.faults(), where=self.pipeline.places.where())
            raise
        offer = Offer.of(built.stage for built in stages)
        if product_problems(config.products.model_dump(), offer):
            raise_joined(self.pipeline.faults(), where=self.pipeline.places.where())
        return [built for built in stages if built.stage.name in self.request.stages]

    def _inputs(self, simulated_into: Path) -> InputSet:
        config, name = self.pipeline.config.input, self.pipeline.config.products.name
        recursive = self.request.recursive
        if self.request.inputs:
            base = self.request.input_base or self.pipeline.base
            return find_inputs(self.request.inputs, base=base, name=name, recursive=recursive)
        if config.simulate is not None:
            from astroclean.simulate.exposure import write_exposure  # noqa: PLC0415

            path = simulated_into / f"simulated_{config.simulate.kind}.fits"
            if not self.request.overwrite and simulated_into == self.folder.path:
                check_simulated(self.folder, path.name)
            if self.request.shard is None or self.request.shard.index == 0:  # the only unit
                write_exposure(path, seed=config.simulate.seed)
            return InputSet([str(path)])
        return find_inputs(config.files, base=self.pipeline.base, name=name, recursive=recursive)
