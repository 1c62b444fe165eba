"""`astroclean run`."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from astroclean.cli.pipeline_arguments import add_pipeline_arguments, pipeline_of, request_of
from astroclean.report.model import FileStatus
from astroclean.runner.executors import make_executor

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterator

    from astroclean.config.load import LoadedPipeline
    from astroclean.report.model import FileRecord, RunReport

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_pipeline_arguments(parser)
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="keep finished files (the default)")
    again.add_argument("--overwrite", action="store_true", help="start anew")
    parser.add_argument("--dry-run", action="store_true", help="check only, as `astroclean check`")


def run(arguments: Namespace) -> int:
    """Run the verb; return the exit status."""
    if arguments.dry_run:
        from astroclean.cli.check import check  # noqa: PLC0415 - imports the runner

        return check(arguments)
    pipeline = pipeline_of(arguments)
    report = _report(arguments, pipeline)
    if arguments.json:
        print(report.to_json())
    _tell(report, quiet=arguments.quiet or arguments.json, verbose=arguments.verbose)
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


def _tell(report: RunReport, *, quiet: bool, verbose: int) -> None:
    for record in report.files:
        if record.status == FileStatus.FAILED:
            print(f"astroclean: failed: {record.error}", file=sys.stderr)
            if verbose and record.traceback:
                print(record.traceback, file=sys.stderr)
        elif not quiet:
            print(_line(record))
            for note in record.notes if verbose else []:
                print(f"    note: {note}")
        if not quiet:
            _warn(record)
    if quiet:
        return
    for note in report.notes:
        print(f"note: {note}")
    counts = (f"{report.count(status)} {status}" for status in FileStatus if report.count(status))
    print(f"{', '.join(counts)} in {report.seconds:.1f} s; {report.output}/report.html")
    told = [
        _counted(sum(len(record.notes) for record in report.files), "note"),
        _counted(sum(len(r.suspect) + len(r.contradictions) for r in report.files), "warning"),
    ]
    if any(told):
        print(f"{', '.join(filter(None, told))}: see report.html{'' if verbose else ' (or -v)'}")


def _warn(record: FileRecord) -> None:
    for word, texts in (("suspect", record.suspect), ("contradiction", record.contradictions)):
        for text in texts:
            print(f"    {word}: {text}")


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}" if count else ""


def _line(record: FileRecord) -> str:
    if record.status == FileStatus.REJECTED:
        return f"{record.input}: rejected by {_verdicts(record)}; not processed further"
    changed = sum(frame.pixels_changed for frame in record.frames)
    named = list(record.outputs)[-1]  # the cleaned file is written last
    pictures = f"{len(record.frames)} frame{'s' if len(record.frames) != 1 else ''}"
    done = f"{record.input}: {record.status}, {pictures}, {changed} pixels changed -> {named}"
    if record.rejected_by is not None:
        return f"{done}; found unusable by {_verdicts(record)}"
    return f"{done}; screened by {_verdicts(record)}" if record.screening else done


def _verdicts(record: FileRecord) -> str:
    return ", ".join(
        f"{stage} (probability {probability:.2g})"
        for stage, probability in record.screening.items()
        if record.rejected_by in {None, stage}
    )
