"""`astroclean plugins list|show|new|doctor`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astroclean.cli.results import print_result
from astroclean.errors import ConfigurationError
from astroclean.registry.discover import PluginEntry, kind_names, list_plugins

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

__all__ = ["add_arguments", "run"]

_PLUGIN_PROBLEM = 3


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the verb."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the installed plugins; imports none")
    listing.add_argument("--kind", choices=kind_names(), help="only this kind")
    listing.add_argument("--json", action="store_true")
    show = actions.add_parser("show", help="show one plugin: needs, options, works to cite")
    show.add_argument("name", metavar="NAME")
    show.add_argument("--json", action="store_true")
    new = actions.add_parser("new", help="write a distribution with a plugin that works")
    new.add_argument("name", metavar="NAME", help="lower-case letters, digits and '-'")
    new.add_argument("--kind", choices=kind_names(), required=True)
    new.add_argument("-o", "--output", type=Path, default=Path(), metavar="DIR")
    doctor = actions.add_parser("doctor", help="import every plugin and tell which are broken")
    doctor.add_argument("--json", action="store_true")


def run(arguments: Namespace) -> int:
    """Run the verb; return the exit status."""
    actions = {"list": _list, "show": _show, "new": _new, "doctor": _doctor}
    return actions[arguments.action](arguments)


def _list(arguments: Namespace) -> int:
    entries = list_plugins(arguments.kind)
    if arguments.json:
        print_result(json.dumps([_as_json(entry) for entry in entries], indent=2))
        return 0
    width = max((len(entry.name) for entry in entries), default=0)
    for entry in entries:
        summary = entry.manifest.summary if entry.manifest else f"BROKEN: {entry.problem}"
        print(f"{entry.kind:<11} {entry.name:<{width}}  {summary}")
    return 0


def _as_json(entry: PluginEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "kind": entry.kind,
        "distribution": entry.distribution,
        "version": entry.version,
        "target": entry.target,
        "problem": entry.problem,
        "manifest": entry.manifest.model_dump(mode="json") if entry.manifest else None,
    }


def _show(arguments: Namespace) -> int:
    from astroclean.registry.load import (  # noqa: PLC0415
        find_plugin,
        load_stage,
        load_stage_class,
    )

    entry = find_plugin(arguments.name)
    schema = load_stage_class(entry).Options.model_json_schema()
    layers = load_stage(entry.name).layers()
    if arguments.json:
        told = [{**asdict(spec), "keep": spec.word} for spec in layers]
        print_result(json.dumps({**_as_json(entry), "layers": told, "options": schema}, indent=2))
        return 0
    manifest = entry.manifest
    assert manifest is not None
    print(f"{entry.name}: {manifest.summary}")
    print(f"  kind      {entry.kind}")
    print(f"  from      {entry.distribution} {entry.version} ({entry.target})")
    print(f"  licence   {manifest.license}")
    print(f"  needs     {', '.join(manifest.needs) or 'nothing but the frame'}")
    print(f"  provides  {', '.join(manifest.provides) or 'nothing for later stages'}")
    print(f"  cite      {', '.join(c.key for c in manifest.citation) or 'nothing'}")
    for number, spec in enumerate(layers):
        when = "always" if spec.always else f"keep '{spec.word}'"
        print(f"  {'layers' if not number else '':8}  {spec.name} ({when}): {spec.meaning}")
    print("  options")
    for name, option in schema.get("properties", {}).items():
        print(f"    {name} = {json.dumps(option.get('default'))}")
        if option.get("description"):
            print(f"        {' '.join(option['description'].split())}")
    return 0


def _new(arguments: Namespace) -> int:
    from astroclean.registry.scaffold import write_plugin  # noqa: PLC0415

    try:
        folder = write_plugin(arguments.name, kind=arguments.kind, parent=arguments.output)
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        raise ConfigurationError(problem, where=str(arguments.output)) from error
    print(f"wrote {folder}. Next:")
    print(f"  python -m pip install -e '{folder}[test]'")
    print(f"  python -m pytest {folder}")
    return 0


def _doctor(arguments: Namespace) -> int:
    from astroclean.registry.doctor import diagnose  # noqa: PLC0415

    findings = diagnose()
    broken = [(entry, problem) for entry, problem in findings if problem]
    if arguments.json:
        found = [{**_as_json(entry), "problem": problem} for entry, problem in findings]
        print_result(json.dumps(found, indent=2))
    else:
        for entry, problem in findings:
            state = "ok" if problem is None else "broken"
            owner = f"{entry.distribution} {entry.version}"
            print(f"{state:<7} {entry.kind:<11} {entry.name} ({owner})")
    for _, problem in broken:
        print(f"astroclean: {problem}", file=sys.stderr)
    return _PLUGIN_PROBLEM if broken else 0
