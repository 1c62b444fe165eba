"""`astroclean train PLUGIN [--config F] [--out D]`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astroclean.core.configs import toml_value
from astroclean.errors import ConfigurationError
from astroclean.training.folder import TrainingFolder
from astroclean.training.loop import run_training
from astroclean.training.packages import check_packages
from astroclean.training.trainer import find_trainer, make_recipe, trainer_names

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from astroclean.training.loop import Report

__all__ = ["add_arguments", "run"]

_LONG = 120
"""Minutes above which hours are told."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the verb."""
    known = ", ".join(trainer_names()) or "no installed plugin can be trained"
    parser.add_argument("plugin", metavar="PLUGIN", help=f"whose network: {known}")
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="keys of the recipe")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="KEY=VALUE",
        help="set a key of the recipe; wins over the file; may be repeated",
    )
    parser.add_argument("--data", metavar="DIR", help="real frames: the key `data`")
    parser.add_argument(
        "--from", dest="start", metavar="NAME", help="weights to begin with: the key `start`"
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="DIR",
        help="checkpoints, log and results; by default ./train_PLUGIN. A training that was "
        "stopped goes on there",
    )
    parser.add_argument("--restart", action="store_true", help="forget what was trained there")
    parser.add_argument("--recipe", action="store_true", help="print the keys, and train nothing")


def run(arguments: Namespace) -> int:
    """Run the verb; return the exit status."""
    if not arguments.recipe:
        check_packages(arguments.plugin)
    trainer = find_trainer(arguments.plugin)
    recipe = make_recipe(trainer, arguments.config, _settings(arguments))
    if arguments.recipe:
        _print_recipe(recipe)
        return 0
    folder = TrainingFolder(arguments.out or Path(f"train_{arguments.plugin}"))
    if arguments.restart:
        folder.clear()
    folder.claim(arguments.plugin, recipe)
    try:
        files = run_training(trainer, recipe, folder, _Line())
    except KeyboardInterrupt:
        print(f"\nstopped; the same command goes on from {folder.path}", file=sys.stderr)
        raise
    for file in files:
        print(file)
    return 0


def _settings(arguments: Namespace) -> dict[str, Any]:
    named = {"data": arguments.data, "start": arguments.start}
    settings = {key: value for key, value in named.items() if value is not None}
    problems = []
    for text in arguments.settings:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            problems.append(f"--set {text}: must read key=value")
        settings[key.strip()] = toml_value(value.strip())
    if problems:
        raise ConfigurationError(problems, where="train")
    return settings


def _print_recipe(recipe: Any) -> None:
    for name, entry in type(recipe).model_fields.items():
        told = " ".join(str(entry.description or "").split())
        print(f"{name} = {getattr(recipe, name)!r}\n    {told}")


class _Line:
    """Tells each report: on a terminal one line that is rewritten, else a line for each."""

    def __init__(self) -> None:
        self._is_live = sys.stderr.isatty()

    def __call__(self, report: Report) -> None:
        values = "  ".join(f"{name} {value:.4g}" for name, value in report.values.items())
        told = f"step {report.step}/{report.steps}  {values}"
        if report.validated:
            self._write(f"{told}{'  (best so far)' if report.best else ''}", stays=True)
            return
        left = (report.steps - report.step) / max(report.rate, 1e-9)
        speed = f"{report.rate:.2f} steps/s  {_span(left)} left"
        self._write(f"{told}  {speed}", stays=not self._is_live)

    def _write(self, text: str, *, stays: bool) -> None:
        start = "\r\033[K" if self._is_live else ""
        print(f"{start}{text}", end="\n" if stays else "", file=sys.stderr, flush=True)


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < _LONG else f"{minutes / 60:.1f} h"
