"""`astroclean doctor`: would a run work here?"""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import metadata
from typing import TYPE_CHECKING

from astroclean import __version__
from astroclean.core.configs import config_folders, list_configs
from astroclean.errors import AstrocleanError
from astroclean.registry.doctor import diagnose

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

__all__ = ["add_arguments", "run"]

_PROBLEM = 3

_OPTIONAL = {
    "jinja2": "report.html (extra `report`)",
    "pillow": "pictures in report.html (extra `report`)",
    "photutils": "psf.estimate (extra `psf`)",
    "scipy": "point spread functions (extra `psf`)",
    "regions": "DS9 regions (extra `regions`)",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("--json", action="store_true")


def run(arguments: Namespace) -> int:
    """Run the verb; return the exit status."""
    findings = diagnose()
    problems = [problem for _, problem in findings if problem]
    problems += _config_problems()
    optional = {name: _version(name) for name in _OPTIONAL}
    facts = {
        "astroclean": __version__,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "libraries": {n: _version(n) for n in ("numpy", "astropy", "pydantic", "stevedore")},
        "optional": optional,
        "configurations": [str(folder) for folder in config_folders()],
        "instruments": sorted(list_configs("instruments")),
        "pipelines": sorted(list_configs("pipelines")),
        "plugins": [f"{entry.kind}: {entry.name}" for entry, _ in findings],
        "problems": problems,
    }
    if arguments.json:
        print(json.dumps(facts, indent=2))
    else:
        for name, value in facts.items():
            _print(name, value)
        for name, version in optional.items():
            if version is None:
                print(f"  not installed: {name}, for {_OPTIONAL[name]}")
    for problem in problems:
        print(f"astroclean: {problem}", file=sys.stderr)
    return _PROBLEM if problems else 0


def _print(name: str, value: object) -> None:
    if isinstance(value, dict):
        value = ", ".join(f"{key} {item or '-'}" for key, item in value.items())
    elif isinstance(value, list):
        value = ", ".join(map(str, value)) or "none"
    print(f"{name:<15} {value}")


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _config_problems() -> list[str]:
    """Return what is wrong with instruments and conventions, the user's own among them."""
    from astroclean.core.flags.conventions import load_convention  # noqa: PLC0415
    from astroclean.io.frames.instruments import load_instrument  # noqa: PLC0415

    problems = []
    for category, load in (("conventions", load_convention), ("instruments", load_instrument)):
        for path in list_configs(category).values():
            try:
                load(str(path))
            except AstrocleanError as error:
                problems.append(str(error))
    return problems
