"""Records of files that are done, failed, rejected or begun."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from astroclean.errors import AstrocleanError
from astroclean.io.fits.address import parse_address
from astroclean.report.model import FileRecord, FileStatus, Seen
from astroclean.runner.output.outputs import possible_outputs
from astroclean.runner.plan.places import absolute_address

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astroclean.io.frames.read import Exposure
    from astroclean.report.model import FileStamp
    from astroclean.runner.plan.plan import FilePlan
    from astroclean.runner.plan.units import Unit
    from astroclean.runner.work.remarks import Remarks
    from astroclean.runner.work.state import FrameWork

__all__ = [
    "begun_record",
    "failed_record",
    "failed_records",
    "failed_unit",
    "faulted",
    "record_of",
    "rejected_records",
    "seen_of",
    "suspect_record",
]


def record_of(plan: FilePlan, status: FileStatus, **known: Any) -> FileRecord:
    """Return the record of a file that was planned; ``known`` are further fields."""
    return FileRecord(
        input=plan.input,
        source=plan.source,
        content=plan.content,
        base=plan.base,
        status=status,
        instrument=plan.instrument,
        **known,
    )


def seen_of(plan: FilePlan, outputs: Mapping[str, FileStamp]) -> Seen:
    """Return by what the result of a plan is known to be up to date though nothing is read."""
    return Seen(
        basis=plan.basis,
        input=plan.stamp,
        outputs=dict(outputs),
        wrong_sums=list(plan.wrong_sums),
    )


def begun_record(plan: FilePlan) -> FileRecord:
    """Return the record of a file whose outputs are about to be written."""
    outputs = dict.fromkeys(possible_outputs(plan), "")
    return record_of(plan, FileStatus.FAILED, outputs=outputs)


def rejected_records(
    unit: Unit, exposures: Sequence[Exposure], rejected: tuple[str, dict[str, float]]
) -> list[FileRecord]:
    """Return the records of a unit that screening rejects, by which stage, with all scores."""
    stage, means = rejected
    return [
        record_of(
            plan,
            FileStatus.REJECTED,
            notes=[*exposure.notes, *exposure.mask_notes()],
            contradictions=list(exposure.contradictions),
            screening=means,
            rejected_by=stage,
        )
        for plan, exposure in zip(unit.plans, exposures, strict=True)
    ]


def suspect_record(
    plan: FilePlan, remarks: Remarks, contradictions: list[str], works: Sequence[FrameWork]
) -> FileRecord:
    """Return the record of a file of which nothing is written, because it looks implausible."""
    return record_of(
        plan,
        FileStatus.FAILED,
        error=f"{remarks.suspect[0]} Nothing is written, as `on_suspect` says.",
        notes=remarks.notes,
        suspect=remarks.suspect,
        contradictions=contradictions,
        frames=[work.record for work in works],
    )


def faulted(unit: Unit, error: Exception, seconds: float = 0.0) -> list[FileRecord]:
    """Return the records of a unit that an error, no memory or a full disk has stopped."""
    if isinstance(error, AstrocleanError):
        trace = "".join(getattr(error, "__notes__", []))
        return failed_records(unit, str(error), trace=trace, seconds=seconds)
    return failed_records(unit, f"{unit.plans[0].input}: {_told(error)}.", seconds=seconds)


def failed_records(
    unit: Unit, problem: str, *, trace: str | None = None, seconds: float = 0.0
) -> list[FileRecord]:
    """Return the records of a unit that failed; the problem names at least its first file."""
    for plan in unit.plans:
        problem = _as_typed(problem, plan.input, plan.source)
    if unit.plans[0].path.name not in problem:
        problem = f"{unit.name}: {problem}"
    return [
        record_of(plan, FileStatus.FAILED, error=problem, traceback=trace or None, seconds=seconds)
        for plan in unit.plans
    ]


def failed_record(name: str, error: Any) -> FileRecord:
    """Return the record of an input that could not be planned."""
    text = str(error) if isinstance(error, AstrocleanError) else f"{_told(error)}."
    text = _as_typed(text, name, absolute_address(name))
    if parse_address(name).path.name not in text:
        text = f"{name}: {text}"
    seconds = getattr(error, "seconds", 0.0)  # which the executor counted
    return FileRecord(input=name, status=FileStatus.FAILED, error=text, seconds=seconds)


def failed_unit(names: Sequence[str], faults: Mapping[str, Any]) -> list[FileRecord]:
    """Return the records of the inputs of a unit of which some cannot be planned.

    Parameters
    ----------
    names : sequence of str
        Its inputs.
    faults : mapping of str to Exception
        Input to what is wrong with it, of one of them at least.
    """
    first = next(iter(faults))
    partner = AstrocleanError(f"the other band of its field failed: {first}")
    return [failed_record(name, faults.get(name, partner)) for name in names]


def _as_typed(text: str, name: str, source: str) -> str:
    """Return a message with the name that the user knows: a job has the absolute path alone."""
    return text.replace(str(parse_address(source).path), str(parse_address(name).path))


def _told(error: Any) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
