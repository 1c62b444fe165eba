"""`astroclean calibrate make INPUT... -o DIR [--set KEY=VALUE]`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from astroclean.core.stage.masters import LeftOut
from astroclean.runner.masters import MEMORY, MasterRequest, make_masters

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

__all__ = ["add_arguments", "run"]

_MEGABYTE = 1e6


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the verb."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    make = actions.add_parser("make", help="make master bias, darks and flats of raw frames")
    make.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="files, folders, globs or @list.txt: raw frames of all types; they are sorted",
    )
    make.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for the masters; made where it is missing",
    )
    make.add_argument(
        "--plugin", metavar="NAME", help="of kind calibrate (default: the one that makes masters)"
    )
    make.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="KEY=VALUE",
        help="an option of the plugin, such as overscan=none, or a value that goes before those "
        "of the headers, such as instrument.gain=1.5; may be repeated",
    )
    make.add_argument(
        "--max-memory",
        type=float,
        default=MEMORY / _MEGABYTE,
        metavar="MB",
        help="memory for the frames that are combined, in MB (default %(default)g)",
    )
    make.add_argument("--overwrite", action="store_true", help="replace existing masters")


def run(arguments: Namespace) -> int:
    """Run the verb; return the exit status."""
    request = MasterRequest(
        arguments.inputs,
        arguments.output,
        plugin=arguments.plugin,
        settings=MasterRequest.settings_of(arguments.settings),
        memory=arguments.max_memory * _MEGABYTE,
        overwrite=arguments.overwrite,
    )
    count = 0
    for made in make_masters(request):
        if isinstance(made, LeftOut):
            print(f"left out: {made.name}: {made.why.rstrip('.')}")
            continue
        path, master = made
        count += 1
        hdus = f" in {len(master.frames)} HDUs" if len(master.frames) > 1 else ""
        print(f"{path}: of {len(master.parts)} frames{hdus}: {', '.join(master.parts)}")
        for note in master.notes:
            print(f"  {note}")
    if not count:
        print("no master was made")
    return 0 if count else 1
