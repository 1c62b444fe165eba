"""What shards of a run leave in the output folder, and the one report that they make together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from astroclean.errors import ConfigurationError
from astroclean.io.products.names import OWN_FOLDER
from astroclean.report.model import ExitCode, FileRecord, FileStatus, RunReport
from astroclean.runner.plan.shard import Shard
from astroclean.runner.settings import flat_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from astroclean.runner.output.folder import OutputFolder

__all__ = [
    "SHARDS",
    "ShardRecord",
    "complete_shards",
    "forget_shard",
    "joined_shards",
    "mark_merged",
]

SHARDS = f"{OWN_FOLDER}/shards"
"""Folder of what shards leave."""
_LARGEST = 1 << 29  # bytes
_NAME = re.compile(r"([0-9]{1,9})-of-([0-9]{1,9})(\.merged)?\.json")
_MERGED = ".merged.json"
_MOST_NAMED = 8


class ShardRecord(BaseModel):
    """How a shard ended, and what must be the same for all shards of a run."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    index: int
    count: int
    inputs: str
    """Digest of the names of all inputs, those of the other shards among them."""
    selected: list[str]
    """Names of the stages that ran."""
    start: str | None = None
    """``--from``."""
    stages: dict[str, str]
    """Name of each stage to a digest of its version, options and files."""
    report: RunReport

    @property
    def shard(self) -> Shard:
        """Which shard."""
        return Shard(self.index, self.count)

    def compared(self) -> dict[str, Any]:
        """Return what all shards of a run have in common, by names that a user knows."""
        told = {"the number of shards": self.count, "the inputs": self.inputs}
        told |= {"the stages that run": self.selected, "--from": self.start}
        told |= {f"the version of {name}": v for name, v in self.report.versions.items()}
        told |= flat_settings(self.report.config)
        return told | {f"what stage '{name}' is made of": one for name, one in self.stages.items()}

    def save(self, folder: OutputFolder) -> None:
        """Write the record into its folder, without pictures: those are in the records of files.

        Raises
        ------
        FitsWriteError
            It cannot be written.
        """
        bare = self.model_dump_json(exclude={"report"})
        text = f'{bare[:-1]},"report":{self.report.to_json()}}}'
        folder.depot.write(_name(self.shard), [text])


def _name(shard: Shard, ending: str = ".json") -> str:
    return f"{SHARDS}/{shard.file_stem}{ending}"


def forget_shard(folder: OutputFolder) -> None:
    """Forget how the shard that a folder is open for has ended: it begins again."""
    if folder.shard is not None:
        for ending in (".json", _MERGED):
            folder.depot.remove(_name(folder.shard, ending))


def complete_shards(folder: OutputFolder) -> list[ShardRecord]:
    """Return the records of all shards of a run.

    Those that were merged already take part where they are of the same run as those that were not.

    Parameters
    ----------
    folder : OutputFolder
        Held by the caller.

    Returns
    -------
    list of ShardRecord
        By index; at least one.

    Raises
    ------
    ConfigurationError
        Shards are missing, were interrupted, differ, or are older than what is in the folder;
        all of them are named.
    """
    new, merged = list[ShardRecord](), list[ShardRecord]()
    problems: list[str] = []
    for name in folder.depot.names(SHARDS):
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        record = _read(folder, name)
        if record is None:
            problems.append(f"the record of shard {match[1]}/{match[2]} is damaged: run it again")
        else:
            (merged if match[3] else new).append(record)
    first = min(new or merged, key=lambda record: record.index, default=None)
    if first is None:
        told = problems or ["there is nothing to merge: no shard has ended here"]
        raise ConfigurationError(told, where=str(folder.path))
    again = {record.index for record in new}
    merged = [record for record in merged if record.index not in again]
    same = [*new, *(record for record in merged if not _differences(first, record))]
    problems += [_differing(first, record) for record in new if _differences(first, record)]
    problems += _missing(first, same)
    if _missing(first, same):
        problems += [_differing(first, record) for record in merged if record not in same]
    problems += [text for record in same for text in _outdated(record, folder)]
    if problems:
        raise ConfigurationError(problems, where=str(folder.path))
    return sorted(same, key=lambda record: record.index)


def _read(folder: OutputFolder, name: str) -> ShardRecord | None:
    content = folder.depot.read(f"{SHARDS}/{name}", _LARGEST)
    try:
        return None if content is None else ShardRecord.model_validate_json(content)
    except ValidationError:
        return None


def _differences(one: ShardRecord, other: ShardRecord) -> str:
    """Return what another shard was run with that this one was not; empty where it is the same."""
    ours, theirs = one.compared(), other.compared()
    keys = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
    if not keys:
        return ""
    told = ", ".join(_told(key, ours.get(key), theirs.get(key)) for key in keys[:_MOST_NAMED])
    more = f", and {len(keys) - _MOST_NAMED} more" if len(keys) > _MOST_NAMED else ""
    return f"{told}{more}"


def _told(key: str, ours: Any, theirs: Any) -> str:
    # Digests and lists tell a reader nothing.
    plain = all(isinstance(v, (str, int, float, bool, type(None))) for v in (ours, theirs))
    hidden = not plain or key.startswith(("what ", "the inputs"))
    return key if hidden else f"{key} ({ours!r}, {theirs!r})"


def _differing(first: ShardRecord, other: ShardRecord) -> str:
    file = f"{SHARDS}/{other.shard.file_stem}.json"
    remedy = f"run again what is wrong, or remove {file} where it is of an earlier run"
    return (
        f"shards {first.shard} and {other.shard} differ in {_differences(first, other)}: {remedy}"
    )


def _missing(first: ShardRecord, records: Sequence[ShardRecord]) -> list[str]:
    """Return which shards of a run there are none of, and which did not come to their end."""
    of_run = [record for record in records if record.count == first.count]
    there = {record.index for record in of_run}
    missing = [n for n in range(first.count) if n not in there]
    told = []
    if missing:
        named = ", ".join(f"{n}/{first.count}" for n in missing[:_MOST_NAMED])
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        told.append(f"no record of shard {named}{more}: run it; what it had finished is kept")
    told += [
        f"shard {record.shard} was interrupted: run it again; what it had finished is kept"
        for record in of_run
        if record.report.exit_code == ExitCode.INTERRUPTED
    ]
    return told


def _outdated(record: ShardRecord, folder: OutputFolder) -> list[str]:
    """Return whether files were processed again since a shard has ended."""
    kept = (FileStatus.DONE, FileStatus.UP_TO_DATE)
    for file in record.report.files:
        if file.status in kept and not _is_current(file, folder):
            other = f"another result of {file.input} than is in the folder"
            return [f"shard {record.shard} tells of {other}: run that shard again"]
    return []


def _is_current(file: FileRecord, folder: OutputFolder) -> bool:
    known = folder.record(file.base)
    return known is not None and (known.key, known.outputs) == (file.key, file.outputs)


def joined_shards(records: Sequence[ShardRecord], output: Path) -> RunReport:
    """Return the report of the run that shards are together.

    Parameters
    ----------
    records : sequence of ShardRecord
        All of them.
    output : Path
        The folder.

    Returns
    -------
    RunReport
        As a whole run would have written it. Its seconds are those of all shards together.
    """
    reports = [record.report for record in records]
    first = reports[0]
    files = sorted((file for r in reports for file in r.files), key=lambda file: file.input)
    failed = any(file.status == FileStatus.FAILED for file in files)
    started = [report.started for report in reports]
    merged = f"merged from {len(records)} shards, which began from {min(started)} to {max(started)}"
    merged += "; their seconds are added"
    return first.model_copy(
        update={
            "exit_code": int(ExitCode.SOME_FAILED if failed else ExitCode.DONE),
            "files": files,
            "started": min(started),
            "seconds": sum(report.seconds for report in reports),
            "jobs": sum(report.jobs for report in reports),
            "output": str(output),
            "notes": [*dict.fromkeys(note for r in reports for note in r.notes), merged],
        }
    )


def mark_merged(records: Iterable[ShardRecord], folder: OutputFolder) -> None:
    """Remember that shards are in ``run.json``, and forget those of earlier runs.

    They stay: where one of them is run again, it is merged with the others.
    """
    depot = folder.depot
    for record in records:
        content = depot.read(_name(record.shard), _LARGEST)
        if content is not None:
            depot.write(_name(record.shard, _MERGED), [content.decode("utf-8")])
            depot.remove(_name(record.shard))
    own = {_name(record.shard, _MERGED) for record in records}
    for name in depot.names(SHARDS):
        if _NAME.fullmatch(name) and f"{SHARDS}/{name}" not in own:
            depot.remove(f"{SHARDS}/{name}")
