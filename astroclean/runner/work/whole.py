"""A unit from its names to its files, in one call: planned, found up to date, or processed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from astroclean.errors import AstrocleanError
from astroclean.runner.output.records import failed_unit, faulted
from astroclean.runner.plan.at_hand import reading_once
from astroclean.runner.plan.course import plan_request
from astroclean.runner.plan.plan import plan_file
from astroclean.runner.plan.units import make_units
from astroclean.runner.work.resume import finished_records, unchanged_records
from astroclean.runner.work.work import Job, process

if TYPE_CHECKING:
    from astroclean.report.model import FileRecord
    from astroclean.runner.plan.course import Course
    from astroclean.runner.plan.listing import Listed
    from astroclean.runner.plan.plan import FilePlan
    from astroclean.runner.plan.units import Unit

__all__ = ["Task", "resumed", "work_through"]


@dataclass(frozen=True)
class Task:
    """A unit of a run that is to be worked through."""

    files: tuple[Listed, ...]
    course: Course
    pictures: bool = True


def work_through(task: Task) -> list[FileRecord]:
    """Bring a unit to its end.

    Parameters
    ----------
    task : Task
        What to do.

    Returns
    -------
    list of FileRecord
        One record a file; failures are records too.
    """
    course = task.course
    if course.trusts_stamps:
        known = unchanged_records(task.files, course.folder, course.basis, largest=None)
        if known is not None:
            return known
    with reading_once(course.pipeline.config.run.memory_of_worker(course.sharing)):
        return _worked_through(task)


def _worked_through(task: Task) -> list[FileRecord]:
    course = task.course
    unit = _planned(task)
    if isinstance(unit, list):
        return unit
    known = resumed(unit, course)
    if known is not None:
        return known
    fields = tuple(range(unit.fields))
    job = Job(unit, course.folder, fields, pictures=task.pictures, start=course.start)
    done = process(job)
    assert isinstance(done, list)  # the job holds the whole unit
    return done


def resumed(unit: Unit, course: Course) -> list[FileRecord] | None:
    """Return the records of a unit that is up to date; None where it is to be processed now.

    Parameters
    ----------
    unit : Unit
        As planned.
    course : Course
        Of the run.
    """
    try:
        if not course.overwrite:
            found = finished_records(unit, course.folder, verify=course.verify)
            if found is not None:
                return found
        for plan in unit.plans:
            course.folder.reopen(plan.base)
    except (AstrocleanError, MemoryError, OSError) as error:
        return faulted(unit, error)
    return None


def _planned(task: Task) -> Unit | list[FileRecord]:
    """Return the unit, or the records of its files where it cannot be processed."""
    plans: list[FilePlan] = []
    faults: dict[str, Exception] = {}
    for file in task.files:
        try:
            plans.append(plan_file(plan_request(file, task.course)))
        except Exception as error:  # noqa: BLE001 - plugins raise what they like
            faults[file.input] = error
    if not faults:
        try:
            (unit,) = make_units(plans, task.course.pipeline.config.bands)
        except AstrocleanError as error:
            faults = {file.input: error for file in task.files}
        else:
            return unit
    return failed_unit([file.input for file in task.files], faults)
