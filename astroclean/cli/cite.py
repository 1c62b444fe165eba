"""`astroclean cite RUN.json`: BibTeX of what a run used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from astroclean.errors import ConfigurationError
from astroclean.registry.discover import list_plugins
from astroclean.report.citation import OWN_ENTRIES, citations_of
from astroclean.report.model import RunReport

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("run", type=Path, metavar="RUN.json", help="record of a run, or its folder")


def run(arguments: Namespace) -> int:
    """Run the verb; return the exit status."""
    path = arguments.run / "run.json" if arguments.run.is_dir() else arguments.run
    try:
        report = RunReport.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise ConfigurationError(f"cannot be read: {reason}", where=str(path)) from error
    except ValidationError as error:
        problem = "is no run.json of astroclean"
        raise ConfigurationError(problem, where=str(path)) from error
    manifests = {entry.name: entry.manifest for entry in list_plugins()}
    entries, missing = citations_of(report, manifests)
    for entry in [*OWN_ENTRIES, *entries]:
        print(entry.strip() + "\n")
    used = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    print(f"% \\software{{{used}}}")
    for plugin in missing:
        print(f"% plugin {plugin} is not installed here; its works are not listed")
    return 0
