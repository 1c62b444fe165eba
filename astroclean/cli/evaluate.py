"""`astroclean evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from astroclean.cli.evaluation_scenes import TABLES, add_scene_arguments, source_of
from astroclean.cli.results import print_result
from astroclean.core.configs import toml_value
from astroclean.core.suggest import did_you_mean
from astroclean.errors import ConfigurationError
from astroclean.evaluation.contest import SPEED, TIME, Contestant, hold_contest
from astroclean.evaluation.evaluation import evaluated_kinds, find_evaluation
from astroclean.evaluation.figure import draw_figure
from astroclean.evaluation.table import Table
from astroclean.registry.load import find_plugin, load_stage

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping, Sequence

    from astroclean.core.stage.stage import Stage
    from astroclean.evaluation.figure import Panel

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("kind", metavar="KIND", choices=evaluated_kinds(), help=_kinds_told())
    parser.add_argument(
        "--plugins",
        required=True,
        metavar="A,B",
        help="plugins of that kind, side by side; NAME=PLUGIN to have one twice",
    )
    add_scene_arguments(parser)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="PLUGIN.KEY=VALUE",
        help="set an option, also of instrument, psf, bands or simulator; may be repeated",
    )
    parser.add_argument(
        "--sweep",
        metavar="PLUGIN.KEY=V1,V2",
        action="append",
        default=[],
        help="also run with these values, for the curve of a plugin without probabilities",
    )
    parser.add_argument(
        "--with", dest="catalogue", metavar="PLUGIN", help="deblender that gives the sources"
    )
    parser.add_argument(
        "--figure",
        action="append",
        default=[],
        metavar="FILE.svg[=WORD]",
        help="draw what is scored, or the panels with a word in their title; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print the table as JSON")


def _kinds_told() -> str:
    return ", ".join(evaluated_kinds()) or "no kind has an evaluation"


def run(arguments: Namespace) -> int:
    """Run the verb; return the exit status."""
    evaluation = find_evaluation(arguments.kind)
    plugins = _plugins(arguments.plugins)
    helper = [arguments.catalogue] if arguments.catalogue else []
    options = _options(arguments.settings, [*plugins, *helper, *TABLES])
    contestants = _contestants(arguments, plugins, options)
    catalogue = None
    if arguments.catalogue:
        catalogue = _stage(arguments.catalogue, "deblend", options[arguments.catalogue])
    figures = [_figure(text) for text in arguments.figure]
    source = source_of(arguments, evaluation, options)
    verdict = hold_contest(evaluation, contestants, source.scenes, catalogue=catalogue)
    columns = (*evaluation.columns, SPEED, TIME)
    table = Table(arguments.kind, columns, verdict.rows, source.about)
    print_result(table.to_json() if arguments.json else table.to_text())
    for path, word in figures:
        _write_figure(path, table.caption, _with_word(word, verdict.panels))
    return 0


def _plugins(text: str) -> dict[str, str]:
    """Return name in the table to plugin; each is its own name unless another is given."""
    names: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        label, _, plugin = (word.strip() for word in part.partition("="))
        if not label or label in names:
            told = "a plugin is named twice; NAME=PLUGIN gives it another name"
            raise ConfigurationError(f"--plugins {text}: {told if label else 'a name is empty'}")
        if label in TABLES:
            raise ConfigurationError(f"--plugins {text}: '{label}' is no name for a plugin")
        names[label] = plugin or label
    if not names:
        raise ConfigurationError("--plugins: name at least one plugin")
    return names


def _options(settings: Sequence[str], targets: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the options of each plugin; every problem is told at once."""
    options: dict[str, dict[str, Any]] = {target: {} for target in targets}
    problems = []
    for text in settings:
        try:
            target, key, value = _setting("--set", text, targets)
        except ConfigurationError as error:
            problems += error.problems
        else:
            options[target][key] = toml_value(value)
    if problems:
        raise ConfigurationError(problems, where="evaluate")
    return options


def _setting(argument: str, text: str, targets: Sequence[str]) -> tuple[str, str, str]:
    path, equals, value = text.partition("=")
    target, dot, key = path.strip().partition(".")
    if not equals or not dot or not key:
        raise ConfigurationError(f"{argument} {text}: must read plugin.key=value")
    if target not in targets:
        hint = did_you_mean(target, targets)
        raise ConfigurationError(f"{argument} {text}: '{target}' does not take part. {hint}")
    return target, key.strip(), value.strip()


def _contestants(
    arguments: Namespace, plugins: Mapping[str, str], options: dict[str, dict[str, Any]]
) -> list[Contestant]:
    kind, names = arguments.kind, list(plugins)
    sweeps: dict[str, list[Stage]] = {name: [] for name in names}
    for text in arguments.sweep:
        name, key, values = _setting("--sweep", text, names)
        for value in values.split(","):
            varied = {**options[name], key: toml_value(value.strip())}
            sweeps[name].append(_stage(plugins[name], kind, varied))
    return [
        Contestant(name, _stage(plugin, kind, options[name]), tuple(sweeps[name]))
        for name, plugin in plugins.items()
    ]


def _stage(name: str, kind: str, options: dict[str, Any]) -> Stage:
    found = find_plugin(name)
    if found.kind != kind:
        raise ConfigurationError(f"plugin '{name}' is of kind '{found.kind}', not '{kind}'")
    return load_stage(name, **options)


def _figure(text: str) -> tuple[Path, str]:
    """Return file and word; refuse before the work what could not be written after it."""
    name, _, word = text.partition("=")
    path = Path(name)
    if path.suffix.lower() != ".svg":
        raise ConfigurationError(f"--figure {text}: the figure is an SVG file, named *.svg")
    if not path.parent.is_dir():
        raise ConfigurationError(f"--figure {text}: there is no folder {path.parent}")
    return path, word.strip()


def _with_word(word: str, panels: Sequence[Panel]) -> list[Panel]:
    found = [panel for panel in panels if word.lower() in panel.axes.title.lower()]
    if panels and not found:
        titles = ", ".join(panel.axes.title for panel in panels)
        raise ConfigurationError(f"--figure: no panel is called '{word}'; there are {titles}")
    return found


def _write_figure(path: Path, caption: str, panels: Sequence[Panel]) -> None:
    if not panels:
        raise ConfigurationError(
            "--figure: nothing to draw, for the truth has none of what these plugins look for"
        )
    try:
        path.write_text(draw_figure(panels, caption), "utf-8")
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        raise ConfigurationError(problem, where=str(path)) from error
