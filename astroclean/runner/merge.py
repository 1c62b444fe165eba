"""`merge`: the one report of a run that was done in shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astroclean.errors import ConfigurationError
from astroclean.runner.output.claims import check_run_files, earlier_runs
from astroclean.runner.output.folder import OutputFolder
from astroclean.runner.output.run_files import write_run_files
from astroclean.runner.output.shards import (
    SHARDS,
    complete_shards,
    joined_shards,
    mark_merged,
)

if TYPE_CHECKING:
    from pathlib import Path

    from astroclean.report.model import RunReport

__all__ = ["merge"]


def merge(output: Path) -> RunReport:
    """Write ``run.json`` and ``report.html`` of the shards that have ended in a folder.

    No input is read, and no file of results is touched.

    Parameters
    ----------
    output : Path
        The output folder that the shards share, or its URL.

    Returns
    -------
    RunReport
        As of a whole run; ``exit_code`` is 0 when every file is done.

    Raises
    ------
    ConfigurationError
        A shard is missing, was interrupted, or differs from the others.
    OutputError
        Shards are running, or ``run.json`` is not astroclean's.
    """
    folder = OutputFolder(output)
    if not folder.depot.names(SHARDS):
        raise ConfigurationError(
            f"{folder.path}: there is nothing to merge: no shard has been run into this folder. "
            "`astroclean run ... --shard I/N` runs one"
        )
    with folder.locked() as notes:
        folder.gather_records()
        records = complete_shards(folder)
        report = joined_shards(records, folder.path)
        report.notes += notes
        page = bool(report.config["products"]["report"])
        check_run_files(folder, report=page)
        write_run_files(report, folder, earlier_runs(folder), page=page)
        if report.exit_code in {0, 1}:
            mark_merged(records, folder)
    return report
