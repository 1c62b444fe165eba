"""`Course`: what is the same for all units of a run, as workers get it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from astroclean.runner.plan.plan import PlanRequest

if TYPE_CHECKING:
    from pathlib import Path

    from astroclean.config.load import LoadedPipeline
    from astroclean.runner.output.folder import OutputFolder
    from astroclean.runner.plan.listing import Listed

__all__ = ["Course", "plan_request"]


@dataclass(frozen=True)
class Course:
    """What is the same for all units of a run."""

    pipeline: LoadedPipeline
    """With absolute paths."""
    stages: tuple[str, ...]
    folder: OutputFolder
    """By its absolute path."""
    sharing: int = 1
    """Workers that share the memory of a machine."""
    basis: str = ""
    """What the keys of all files depend on beside the files."""
    start: str | None = None
    """``--from``."""
    staging: Path | None = None
    """Where inputs that are URLs stay until they are done; with None until they are planned."""
    verify: bool = False
    overwrite: bool = False

    @property
    def trusts_stamps(self) -> bool:
        """Whether a unit may be up to date without having been opened."""
        return not (self.verify or self.overwrite or self.pipeline.config.run.keep_stages)


def plan_request(file: Listed, course: Course, *, headers_only: bool = False) -> PlanRequest:
    """Return the request to plan a file, with what is on record of it."""
    return PlanRequest(
        file.input,
        course.pipeline,
        course.stages,
        course.sharing,
        file.source,
        course.basis,
        None if course.verify else course.folder.record(file.base),
        course.staging,
        headers_only,
    )
