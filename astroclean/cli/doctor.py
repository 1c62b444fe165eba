"""`astroclean doctor`: would a run work here?"""

from __future__ import annotations

import json
import os
import platform
import sys
from typing import TYPE_CHECKING

from astroclean import __version__
from astroclean.cli.results import print_result
from astroclean.cli.versions import version_of
from astroclean.core.configs import config_folders, list_configs
from astroclean.errors import AstrocleanError
from astroclean.inference.engines.engine import list_engines
from astroclean.registry.distributions import known_distributions
from astroclean.registry.doctor import diagnose

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

__all__ = ["add_arguments", "run"]

_PROBLEM = 3

_LIBRARIES = (
    *("numpy", "astropy", "scipy", "photutils"),
    *("pydantic", "stevedore", "jinja2", "pillow"),
)
_OPTIONAL = {
    "galsim": "simulate, evaluate and the stage `parametric` (extra `evaluate`)",
    "regions": "DS9 regions (extra `regions`)",
    "shtab": "completion by the shell (extra `completion`)",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("--json", action="store_true")


def run(arguments: Namespace) -> int:
    """Run the verb; return the exit status."""
    findings = diagnose()
    problems = [problem for _, problem in findings if problem]
    problems += [f"{n} is not installed; install astroclean anew" for n in _lacking()]
    problems += _config_problems()
    optional = {name: version_of(name) for name in _OPTIONAL}
    facts = {
        "astroclean": __version__,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "libraries": {name: version_of(name) for name in _LIBRARIES},
        "optional": optional,
        "engines": [name for name, problem in list_engines().items() if problem is None],
        "configurations": [str(folder) for folder in config_folders()],
        "instruments": sorted(list_configs("instruments")),
        "pipelines": sorted(list_configs("pipelines")),
        "plugins": [f"{entry.kind}: {entry.name}" for entry, _ in findings],
        "not installed": _absent([entry.name for entry, _ in findings]),
        "problems": problems,
    }
    if arguments.json:
        print_result(json.dumps(facts, indent=2))
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


def _lacking() -> list[str]:
    """Return the libraries that every run may need and that are not there."""
    return [name for name in _LIBRARIES if version_of(name) is None]


def _absent(installed: list[str]) -> list[str]:
    """Return astroclean's own distributions of which no plugin is installed."""
    return [
        owner
        for owner, offers in known_distributions().items()
        if set(offers["plugins"]).isdisjoint(installed)
    ]


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
