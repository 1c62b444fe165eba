"""`astroclean run`."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from astroclean.cli.outcome import tell_outcome
from astroclean.cli.pipeline_arguments import add_pipeline_arguments, pipeline_of, request_of
from astroclean.cli.results import print_result
from astroclean.runner.executors import make_executor

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterator

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
    report = _report(arguments, pipeline)
    if arguments.json:
        print_result(report.to_json())
    quiet = arguments.quiet or arguments.json
    is_shard = arguments.shard is not None
    tell_outcome(report, quiet=quiet, verbose=arguments.verbose, is_shard=is_shard)
    return report.exit_code


def _report(arguments: Namespace, pipeline: LoadedPipeline) -> RunReport:
    executor = make_executor(
        arguments.jobs, fork=arguments.is_program, scheduler=pipeline.scheduler
    )
    with contextlib.closing(executor):
        executor.prepare()
        # Takes most of a second, as it does in a worker that is not forked, which does it now too.
        from astroclean.runner.runner import Runner  # noqa: PLC0415

        request = request_of(arguments, pipeline)
        with _progress(quiet=arguments.quiet) as progress:
            runner = Runner(
                pipeline,
                request,
                output=arguments.output,
                progress=progress,
                executor=executor,
            )
            return runner.run()


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Yield a function that draws a progress bar, where there is a terminal to draw it on."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from astropy.utils.console import ProgressBar  # noqa: PLC0415 - on a terminal only

    bars: list[ProgressBar] = []

    def draw(done: int, total: int) -> None:
        if not bars and total:
            bars.append(ProgressBar(total, file=sys.stderr))
        if bars:
            bars[0].update(done)

    try:
        yield draw
    finally:
        if bars:
            print(file=sys.stderr)
