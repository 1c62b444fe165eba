"""`astroclean run`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from astroclean.cli.pipeline_arguments import add_pipeline_arguments, pipeline_of, request_of
from astroclean.cli.results import print_result

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from astroclean.config.load import LoadedPipeline
    from astroclean.report.model import RunReport

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_pipeline_arguments(parser)
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="keep finished files (the default)")
    again.add_argument("--overwrite", action="store_true", help="start anew")
    parser.add_argument(
        "--verify", action="store_true", help="hash what size and time say is unchanged, too"
    )
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="do part I of N, 0/N to N-1/N, beside the others; `astroclean merge` ends the run",
    )
    parser.add_argument("--dry-run", action="store_true", help="check only, as `astroclean check`")


def run(arguments: Namespace) -> int:
    """Run the verb; return the exit status."""
    if arguments.dry_run:
        from astroclean.cli.check import check  # noqa: PLC0415 - imports the runner

        return check(arguments)
    pipeline = pipeline_of(arguments)
    # On use: `run --help` and a wrong path are told at once.
    from astroclean.cli.outcome import tell_outcome  # noqa: PLC0415

    report = _report(arguments, pipeline)
    if arguments.json:
        print_result(report.to_json())
    quiet = arguments.quiet or arguments.json
    is_shard = arguments.shard is not None
    tell_outcome(report, quiet=quiet, verbose=arguments.verbose, is_shard=is_shard)
    return report.exit_code


def _report(arguments: Namespace, pipeline: LoadedPipeline) -> RunReport:
    from astroclean.runner.executors import make_executor  # noqa: PLC0415

    executor = make_executor(
        arguments.jobs, fork=arguments.is_program, scheduler=pipeline.scheduler
    )
    with contextlib.closing(executor):
        executor.prepare()
        # Takes most of a second, as it does in a worker that is not forked, which does it now too.
        from astroclean.cli.progress import shown_progress  # noqa: PLC0415 - beside its use
        from astroclean.runner.runner import Runner  # noqa: PLC0415

        request = request_of(arguments, pipeline)
        runner = Runner(pipeline, request, output=arguments.output, executor=executor)
        with shown_progress(runner.under_way, quiet=arguments.quiet) as progress:
            runner.progress = progress or runner.progress
            return runner.run()
