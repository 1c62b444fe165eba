"""`astroclean merge OUT`: one report of a run that was done in shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astroclean.cli.results import print_result
from astroclean.io.remote.urls import path_or_url

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument(
        "output", type=path_or_url, metavar="OUT", help="output folder of all shards, or its URL"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("-v", "--verbose", action="count", default=0, help="say more")
    loudness.add_argument("-q", "--quiet", action="store_true", help="say only what failed")


def run(arguments: Namespace) -> int:
    """Run the verb; return the exit status."""
    from astroclean.cli.outcome import tell_outcome  # noqa: PLC0415 - imports pydantic
    from astroclean.runner.merge import merge  # noqa: PLC0415 - takes most of a second

    report = merge(arguments.output)
    if arguments.json:
        print_result(report.to_json())
    quiet = arguments.quiet or arguments.json
    tell_outcome(report, quiet=quiet, verbose=arguments.verbose)
    return report.exit_code
