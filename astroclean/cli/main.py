"""`astroclean` and its verbs."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import sys
from typing import TYPE_CHECKING

from astroclean.cli.completion import PrintCompletion
from astroclean.cli.results import results_alone
from astroclean.cli.versions import PrintVersions
from astroclean.errors import AstrocleanError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from types import ModuleType

__all__ = ["main"]

VERBS = {
    "run": "clean files with a pipeline",
    "merge": "write the one report of a run that was done in shards",
    "check": "check a pipeline and its inputs without reading pixels",
    "inspect": "print what is understood of files, and where it comes from",
    "calibrate": "make master bias, darks and flats of raw frames",
    "view": "show a file with its flags and regions in DS9, jdaviz or ginga",
    "plugins": "list, show, make and diagnose plugins",
    "mask": "explain mask values",
    "simulate": "simulate frames with their truth",
    "evaluate": "score plugins side by side against truth",
    "train": "train the network of a plugin",
    "weights": "list, verify, find and import the weights of networks",
    "schema": "print the JSON schema of pipelines or options",
    "doctor": "check this installation",
    "cite": "print what to cite for a run",
}

EPILOG = """\
examples:
  astroclean run configs/pipelines/demo.toml
  astroclean run pipeline.toml raw/*.fits.fz -o cleaned/ -j 4
  astroclean run pipeline.toml raw/ -o cleaned/ --shard 3/8
  astroclean merge cleaned/
  astroclean check pipeline.toml raw/
  astroclean inspect raw/night1.fits
  astroclean mask explain 1049603 --as jwst

exit status: 0 all done, 1 some inputs failed, 2 usage or configuration, 3 plugin, engine or
weights missing, 4 no input matched, 130 interrupted
"""

EXTRAS = {
    "galsim": "evaluate",
    "skimage": "evaluate",
    "regions": "regions",
    "distributed": "dask",
    "shtab": "completion",
    "onnxruntime": "engine",
    "openvino": "openvino",
    "torch": "torch",
    "onnx": "keras",
    "keras": "keras",
}
"""Optional packages to the extra that brings them."""

MISSING = 3
BROKEN_PIPE = 141
INTERRUPTED = 130


def _parser(wanted: Collection[str]) -> tuple[argparse.ArgumentParser, dict[str, ModuleType]]:
    """Return parser and modules; only verbs in question add their arguments and are imported."""
    parser = argparse.ArgumentParser(
        prog="astroclean",
        description="Clean astronomical images with composable plugins.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action=PrintVersions, help="print the versions of astroclean and its plugins"
    )
    parser.add_argument(
        "--print-completion",
        action=PrintCompletion,
        build=lambda: _parser(VERBS)[0],
        help="print a script that makes the shell complete verbs, flags and files",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    modules = {}
    for name, summary in VERBS.items():
        own = verbs.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name in wanted:
            modules[name] = importlib.import_module(f"astroclean.cli.{name}")
            modules[name].add_arguments(own)
    return parser, modules


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; by default those of the process.

    Returns
    -------
    int
        Exit status.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    verb = next(([word] for word in words if word in VERBS), [])
    try:
        parser, modules = _parser(verb)
        arguments = parser.parse_args(words)
        arguments.is_program = argv is None  # nothing has been computed in this process
        _set_up_logging(getattr(arguments, "verbose", 0), getattr(arguments, "quiet", False))
        if arguments.verb not in modules:  # parse_args has ended the process for an unknown verb
            parser.error(f"unknown verb {arguments.verb}")
        is_json = getattr(arguments, "json", False) or arguments.verb == "schema"
        with results_alone() if is_json else contextlib.nullcontext():
            status = int(modules[arguments.verb].run(arguments))
        sys.stdout.flush()
    except AstrocleanError as error:
        print(_told(error), file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(str(error.name).partition(".")[0])
        if extra is None:
            raise
        hint = f"Install it: python -m pip install 'astroclean[{extra}]'."
        print(f"astroclean: error: this needs the package {error.name}. {hint}", file=sys.stderr)
        return MISSING
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return status


def _told(error: AstrocleanError) -> str:
    kind = "configuration" if isinstance(error, ConfigurationError) else "error"
    return f"astroclean: {kind}: {error}"


def _set_up_logging(verbose: int, quiet: bool) -> None:
    level = (
        logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    )
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("astroclean")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
