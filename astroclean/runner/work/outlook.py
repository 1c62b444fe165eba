"""What a run would do with a file, and why: it is up to date, new, or would be done again."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from astroclean import __version__
from astroclean.runner.plan.build import build_stages
from astroclean.runner.settings import flat_settings
from astroclean.runner.work.saved import is_saved

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from astroclean.report.model import FileRecord, RunSummary
    from astroclean.report.record_file import Earlier
    from astroclean.runner.output.folder import OutputFolder
    from astroclean.runner.plan.course import Course
    from astroclean.runner.plan.plan import FilePlan
    from astroclean.runner.plan.units import Unit

__all__ = ["Outlook", "Prospect", "outlooks"]

_NOT_OF_THE_KEY = (
    *("description", "input.", "products.report"),
    *("run.max_memory", "run.keep_stages", "run.scheduler"),
)
"""Settings of which no result depends: with others, a file is up to date."""
_MOST = 4
"""Settings that are told."""


class Prospect(enum.StrEnum):
    """What a run would do with a file."""

    UP_TO_DATE = "up to date"
    NEW = "new"
    AGAIN = "again"


@dataclass(frozen=True)
class Outlook:
    """What a run would do with a file, and why."""

    plan: FilePlan
    prospect: Prospect
    reasons: tuple[str, ...] = ()
    """Why it would be done again."""


def outlooks(
    units: Sequence[Unit], course: Course, folder: OutputFolder, earlier: Earlier | None
) -> list[Outlook]:
    """Return what a run would do with each file. Nothing is written.

    Parameters
    ----------
    units : sequence of Unit
        As planned.
    course : Course
        Of the run.
    folder : OutputFolder
        Output folder.
    earlier : Earlier or None
        What earlier runs left in the folder.
    """
    told = _Told(course, folder, earlier)
    return [outlook for unit in units for outlook in told.of(unit)]


@dataclass(frozen=True)
class _Told:
    course: Course
    folder: OutputFolder
    earlier: Earlier | None
    _changes: dict[int, list[str]] = field(default_factory=dict, init=False)
    """Number of a run to what of its settings is another now."""

    def of(self, unit: Unit) -> list[Outlook]:
        known = [self.folder.record(plan.base) for plan in unit.plans]
        pairs = list(zip(unit.plans, known, strict=True))
        reasons = [list(self._reasons(plan, record, unit)) for plan, record in pairs]
        if any(reasons):
            other = unit.plans[next(n for n, why in enumerate(reasons) if why)].input
            reasons = [why or [f"another band of its field is done: {other}"] for why in reasons]
        return [
            Outlook(plan, self._prospect(plan, record, bool(why)), tuple(why))
            for (plan, record), why in zip(pairs, reasons, strict=True)
        ]

    def _prospect(self, plan: FilePlan, record: FileRecord | None, is_done: bool) -> Prospect:
        if not is_done:
            return Prospect.UP_TO_DATE
        is_new = record is None and not self.folder.has_record(plan.base)
        return Prospect.NEW if is_new else Prospect.AGAIN

    def _reasons(self, plan: FilePlan, record: FileRecord | None, unit: Unit) -> Iterator[str]:
        """Yield why a file would be done; nothing where it is up to date."""
        if record is None:
            damaged = self.folder.has_record(plan.base)
            yield "its record is damaged" if damaged else "nothing is on record of it"
        elif self.course.overwrite:
            yield "--overwrite"
        elif not record.key:
            yield "an earlier run did not finish it"
        elif record.key != unit.key:
            yield from self._of_key(plan, record)
        else:
            yield from self._of_outputs(record)
            if self.course.pipeline.config.run.keep_stages and not is_saved(unit, self.folder):
                yield "its state between stages is not kept"

    def _of_outputs(self, record: FileRecord) -> Iterator[str]:
        if self.folder.intact_outputs(record, verify=self.course.verify):
            return
        gone = [name for name in record.outputs if not self.folder.is_there(name)]
        yield from (f"the output {name} is missing" for name in gone)
        if not gone:
            yield "an output was changed" if record.outputs else "it has no outputs"

    def _of_key(self, plan: FilePlan, record: FileRecord) -> Iterator[str]:
        """Yield what of the key is another: all that can be told, or that it cannot."""
        found = []
        if record.content and record.content != plan.content:
            found.append("the input was changed")
        if record.instrument and record.instrument != plan.instrument:
            found.append(f"instrument {record.instrument} -> {plan.instrument}")
        found += _of_stages(plan, record)
        run = self._run_of(plan)
        if run is not None:
            found += self._of_settings(run)
            before = run.versions.get("astroclean")
            if before not in (None, __version__):
                found.append(f"astroclean {before} -> {__version__}")
        yield from found or ["a file that its options, PSF or instrument name was changed"]

    def _run_of(self, plan: FilePlan) -> RunSummary | None:
        """Return the run that wrote the results of a file."""
        known = self.earlier.files.get(plan.source) if self.earlier else None
        return self._runs.get(known.run) if known is not None else None

    # The same for all files, of which there may be a hundred thousand.
    @cached_property
    def _runs(self) -> dict[int, RunSummary]:
        return {run.number: run for run in self.earlier.runs} if self.earlier else {}

    @cached_property
    def _settings(self) -> dict[str, Any]:
        return _compared(self.course.pipeline.config.model_dump(mode="json", by_alias=True))

    def _of_settings(self, run: RunSummary) -> list[str]:
        """Return which settings are others than those of a run."""
        if run.number not in self._changes:
            self._changes[run.number] = _changes(_compared(run.config), self._settings)
        return self._changes[run.number]


def _of_stages(plan: FilePlan, record: FileRecord) -> list[str]:
    """Return which stages have another version or other code, came, or are gone."""
    if not record.frames:
        return []
    before = {one.name: one for one in record.frames[0].stages}
    stages = build_stages(plan.specs, base=plan.pipeline.base, stem=plan.stem)
    now = {stage.name: stage.identity for stage in stages}
    told = [f"stage '{name}' is new" for name in now if name not in before]
    told += [f"stage '{name}' is gone" for name in before if name not in now]
    both = [(before[name], identity) for name, identity in now.items() if name in before]
    told += [
        f"plugin {identity.plugin} {old.version} -> {identity.version}"
        for old, identity in both
        if old.version != identity.version
    ]
    told += [
        f"the code of plugin {identity.plugin} was changed"
        for old, identity in both
        if old.version == identity.version and old.code != identity.code
    ]
    return told


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return which settings are others now."""
    changed = [
        key
        for key in {**before, **now}
        # Of a stage that came or is gone, that is told by its name.
        if before.get(key) != now.get(key) and _has_stage(key, before) == _has_stage(key, now)
    ]
    told = [_change(key, before, now) for key in changed[:_MOST]]
    more = len(changed) - _MOST
    return [*told, f"and {more} more settings"] if more > 0 else told


def _compared(config: Mapping[str, Any]) -> dict[str, Any]:
    flat = flat_settings(config)
    return {key: value for key, value in flat.items() if not key.startswith(_NOT_OF_THE_KEY)}


def _has_stage(key: str, settings: Mapping[str, Any]) -> bool:
    return f"{key.partition('.')[0]}.plugin" in settings


def _change(key: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    name = key.replace(".options.", ".", 1)  # as for --set
    if key not in before:
        return f"{name} = {now[key]!r} is set"
    if key not in now:
        return f"{name} = {before[key]!r} is not set any more"
    return f"{name}: {before[key]!r} -> {now[key]!r}"
