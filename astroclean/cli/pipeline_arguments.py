"""Arguments that `run` and `check` share."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from astroclean.config.defaults import DEFAULT_OUTPUT
from astroclean.io.remote.urls import path_or_url

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from astroclean.config.load import LoadedPipeline
    from astroclean.runner.runner import Request

__all__ = ["add_pipeline_arguments", "pipeline_of", "request_of"]


_OUTPUT = "output folder, also of a store: s3://bucket/folder"
_JOBS = "worker processes; 0: in this process, which a crash in a library ends"


def add_pipeline_arguments(parser: ArgumentParser) -> None:
    """Add the pipeline, inputs, and what selects and sets."""
    _add_files(parser)
    parser.add_argument("-j", "--jobs", type=_jobs, default=1, metavar="N", help=_JOBS)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="STAGE.KEY=VALUE",
        help="set an option, or a key of a table such as instrument.gain; may be repeated",
    )
    parser.add_argument(
        "--max-memory",
        metavar="SIZE",
        help="memory for the run, such as 2GB; larger frames are processed by windows",
    )
    parser.add_argument(
        "--scheduler",
        metavar="WHERE",
        help="address or file of a Dask scheduler, in place of -j; local: this machine",
    )
    parser.add_argument("--from", dest="start", metavar="STAGE", help="begin with saved results")
    parser.add_argument("--until", metavar="STAGE", help="end with this stage")
    parser.add_argument("--only", action="append", default=[], metavar="STAGE", help="no others")
    parser.add_argument("--skip", action="append", default=[], metavar="STAGE", help="not this")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("-v", "--verbose", action="count", default=0, help="say more")
    loudness.add_argument("-q", "--quiet", action="store_true", help="say only what failed")


def _add_files(parser: ArgumentParser) -> None:
    """Add what is read, and where results go."""
    parser.add_argument(
        "config", metavar="CONFIG", help="a pipeline file, or a name in configs/pipelines"
    )
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="*",
        help="file, file[HDU], folder, glob or @list.txt; by default the pipeline's own",
    )
    parser.add_argument(
        "-r", "--recursive", action="store_true", help="also take what lies in folders of folders"
    )
    parser.add_argument(
        "-o", "--output", type=path_or_url, default=DEFAULT_OUTPUT, metavar="DIR", help=_OUTPUT
    )


def _jobs(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"a number of processes from 0, not {text!r}")
    return int(text)


def _from_here(scheduler: str) -> str:
    """Return a scheduler; the path of a file is told from the working directory, not the TOML."""
    if "://" in scheduler or not scheduler.endswith(".json"):
        return scheduler  # the schema tells what is wrong with others
    return os.path.abspath(scheduler)  # noqa: PTH100 - links keep their names


def pipeline_of(arguments: Namespace) -> LoadedPipeline:
    """Return the pipeline that the arguments name."""
    from astroclean.core.configs import find_config  # noqa: PLC0415 - a wrong name is told first

    find_config("pipelines", arguments.config)
    from astroclean.config.load import load_pipeline  # noqa: PLC0415 - imports numpy and pydantic

    settings = list(arguments.settings)
    if arguments.max_memory is not None:
        settings.append(f'run.max_memory="{arguments.max_memory}"')
    if arguments.scheduler is not None:
        settings.append(f"run.scheduler={json.dumps(_from_here(arguments.scheduler))}")
    return load_pipeline(arguments.config, settings=settings)


def request_of(arguments: Namespace, pipeline: LoadedPipeline) -> Request:
    """Return what the arguments ask for."""
    from astroclean.runner.plan.inputs import shown_name  # noqa: PLC0415 - takes most of a second
    from astroclean.runner.plan.selection import Selection  # noqa: PLC0415
    from astroclean.runner.plan.shard import Shard  # noqa: PLC0415
    from astroclean.runner.runner import Request  # noqa: PLC0415

    skipped = tuple(name for name in arguments.skip if name not in pipeline.left_out)
    selection = Selection(arguments.start, arguments.until, tuple(arguments.only), skipped)
    shard = getattr(arguments, "shard", None)
    return Request(
        inputs=tuple(arguments.inputs),
        input_base=Path(),
        stages=selection.of(tuple(stage.name for stage in pipeline.config.stage)),
        recursive=arguments.recursive,
        start=arguments.start,
        jobs=arguments.jobs,
        overwrite=getattr(arguments, "overwrite", False),
        verify=getattr(arguments, "verify", False),
        shard=None if shard is None else Shard.parsed(shard),
        command=("astroclean", *map(shown_name, sys.argv[1:])),
    )
