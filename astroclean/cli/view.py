"""`astroclean view FILE [--with VIEWER]`: science, flags and regions in a viewer."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from astroclean.report.model import ExitCode
from astroclean.report.viewing import VIEWERS, shown_file, start, viewer_of

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

__all__ = ["add_arguments", "run"]

_MISSING = 3


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("file", metavar="FILE", help="output of a run, or any FITS file[HDU]")
    parser.add_argument(
        "--with",
        dest="viewer",
        choices=list(VIEWERS),
        help="viewer; by default the first of these that is installed",
    )
    parser.add_argument(
        "--layers",
        nargs="*",
        metavar="NAME",
        default=(),
        help="also show these images of stages, such as DECONV; without a name, all",
    )
    parser.add_argument(
        "--regions",
        action="append",
        default=[],
        metavar="FILE",
        help="region file beside those found: x.reg and x_sources.reg; may be given several times",
    )
    parser.add_argument("--wait", action="store_true", help="return when the viewer has ended")
    parser.add_argument(
        "--print", dest="only_print", action="store_true", help="print the command, start nothing"
    )


def run(arguments: Namespace) -> int:
    """Run the verb; return the exit status."""
    layers = None if arguments.layers == [] else arguments.layers
    shown = shown_file(arguments.file, layers=layers, regions=arguments.regions)
    viewer = viewer_of(arguments.viewer)
    command = viewer.command(shown)
    print(shlex.join(command))
    if arguments.only_print:
        return int(ExitCode.DONE)
    if not viewer.is_installed:
        hint = f"{viewer.name} is not installed. {viewer.install}"
        print(f"astroclean: {hint} The command above starts it.", file=sys.stderr)
        return _MISSING
    if viewer.lacks:
        print(viewer.lacks)
    status = start(command, wait=arguments.wait)
    if status:
        print(f"astroclean: {viewer.name} ended with status {status}", file=sys.stderr)
        return int(ExitCode.SOME_FAILED)
    return int(ExitCode.DONE)
