"""Arguments of `evaluate` that say what is scored on: simulated scenes, or frames of the user."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from astroclean.config.explain import explain
from astroclean.config.schema import PsfConfig
from astroclean.core.flags.planes import REJECTING
from astroclean.errors import ConfigurationError
from astroclean.evaluation.scenes import injected_scenes, observed_scenes, simulated_scenes
from astroclean.io.frames.read import ReadSettings
from astroclean.runner.plan.inputs import find_inputs

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Mapping

    from astroclean.evaluation.evaluation import Evaluation
    from astroclean.simulate.scene import Scene

__all__ = ["TABLES", "Source", "add_scene_arguments", "source_of"]

TABLES = ("instrument", "psf", "bands", "simulator")
"""What ``--set`` may name beside the plugins."""
_INJECTED = "injected"
_ESTIMATE = "estimate"


@dataclass(frozen=True)
class Source:
    """The scenes, and what the table says of them."""

    scenes: Iterator[Scene]
    about: dict[str, Any] = field(default_factory=dict)


def add_scene_arguments(parser: ArgumentParser) -> None:
    """Add the arguments that say what is known."""
    truth = parser.add_mutually_exclusive_group()
    truth.add_argument("--simulator", metavar="NAME", help="by default the one of the kind")
    truth.add_argument(
        "--frames",
        nargs="+",
        default=[],
        metavar="INPUT",
        help="your frames, with truth added: file, file[HDU], folder, glob or @list.txt",
    )
    parser.add_argument(
        "--truth", metavar="NAME", help="truth that the frames themselves tell, instead of added"
    )
    psf = parser.add_mutually_exclusive_group()
    psf.add_argument(
        "--psf",
        metavar="FILE",
        help="of the frames, {stem} for one per input; `estimate`: from the stars of each frame",
    )
    psf.add_argument("--psf-fwhm", metavar="WIDTH", help='a Gaussian: "2.5 pixel"')
    parser.add_argument(
        "--given-psf",
        metavar="FILE",
        help="PSF that the plugins get, where that of the sources that are added is another",
    )
    parser.add_argument("--told-psf", dest="given_psf", action=_OldName, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=_whole(0), default=1, metavar="N", help="of the first frame")
    parser.add_argument("--count", type=_whole(1), default=4, metavar="N", help="simulated frames")
    parser.add_argument(
        "--shape",
        type=_whole(16),
        nargs=2,
        default=(256, 256),
        metavar=("NY", "NX"),
        help="pixels of simulated frames",
    )


class _OldName(argparse.Action):
    """An option under its old name, which says the new one."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, option: str | None = None
    ) -> None:
        """Take the value."""
        new = self.dest.replace("_", "-")
        print(f"{parser.prog}: {option} is --{new} now", file=sys.stderr)
        setattr(namespace, self.dest, values)


def _whole(least: int) -> Any:
    def parsed(text: str) -> int:
        if not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"a whole number from {least}, not {text!r}")
        return int(text)

    return parsed


def source_of(
    arguments: Namespace, evaluation: Evaluation, tables: Mapping[str, dict[str, Any]]
) -> Source:
    """Return the scenes that the arguments name.

    Parameters
    ----------
    arguments : Namespace
        Of :func:`add_scene_arguments`.
    evaluation : Evaluation
        Of the kind.
    tables : mapping of str to dict
        What ``--set`` gave for each of :data:`TABLES`.

    Returns
    -------
    Source
        Scenes are made one at a time.

    Raises
    ------
    ConfigurationError
        Arguments that do not go together, or inputs that cannot be used.
    NoInputError
        No file matches ``--frames``.
    """
    _check(arguments, tables)
    if not arguments.frames:
        return _simulated(arguments, arguments.simulator or evaluation.simulator, tables)
    files = _files(arguments.frames)
    overrides = dict(tables["instrument"])
    settings = ReadSettings(overrides.pop("name", "auto"), overrides, REJECTING)
    psf = _psf(arguments, tables["psf"])
    about = {"truth": arguments.truth or _INJECTED, "in": " ".join(arguments.frames)}
    if arguments.truth is None or arguments.truth == _INJECTED:
        seed = arguments.seed
        given = None
        if arguments.given_psf is not None:
            given = PsfConfig(file=arguments.given_psf)
            about["given PSF"] = arguments.given_psf
        bands = {band: str(text) for band, text in tables["bands"].items()}
        about.update({f"bands.{band}": text for band, text in bands.items()})
        scenes = injected_scenes(
            evaluation, files, seed=seed, settings=settings, psf=psf, told_psf=given, bands=bands
        )
        return Source(scenes, {**about, "seed": seed})
    return Source(observed_scenes(arguments.truth, files, settings=settings, psf=psf), about)


def _check(arguments: Namespace, tables: Mapping[str, dict[str, Any]]) -> None:
    """Refuse what the scenes asked for would not look at."""
    if arguments.frames:
        wrong = [f"--set simulator.{key}" for key in tables["simulator"]]
        problems = [f"{name} is for simulated scenes, not for `--frames`" for name in wrong]
        if arguments.given_psf is not None and arguments.truth not in (None, _INJECTED):
            problems.append(f"--given-psf is for truth that is added, not for {arguments.truth}")
        if tables["bands"] and arguments.truth not in (None, _INJECTED):
            problems.append(f"--set bands is for truth that is added, not for {arguments.truth}")
    else:
        names = ("truth", "psf", "psf_fwhm", "given_psf")
        given = {f"--{name.replace('_', '-')}": name for name in names}
        alone = [name for name, key in given.items() if getattr(arguments, key) is not None]
        alone += [f"--set {table}.{key}" for table in TABLES[:-1] for key in tables[table]]
        problems = [f"{name} is for `--frames`" for name in alone]
    if problems:
        raise ConfigurationError(problems)


def _simulated(arguments: Namespace, name: str, tables: Mapping[str, dict[str, Any]]) -> Source:
    ny, nx = arguments.shape
    settings = tables["simulator"]
    seed, count = arguments.seed, arguments.count
    scenes = simulated_scenes(name, seed=seed, count=count, shape=(ny, nx), settings=settings)
    about = {"simulator": name, "seed": seed, "count": count, "shape": f"{ny} x {nx}"}
    return Source(scenes, {**about, **{f"simulator.{key}": v for key, v in settings.items()}})


def _files(given: list[str]) -> list[str]:
    """Return the files; what a run would tell in its report is told here at once."""
    found = find_inputs(given, base=Path(), twins=True)
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    if found.failed:
        raise ConfigurationError(list(found.failed.values()), where="--frames")
    return found.files


def _psf(arguments: Namespace, table: dict[str, Any]) -> PsfConfig | None:
    """Return the table `[psf]` that the arguments spell; None where they say nothing."""
    if arguments.psf == _ESTIMATE:
        table = {**table, "estimate": True}
    elif arguments.psf is not None:
        table = {**table, "file": arguments.psf}
    elif arguments.psf_fwhm is not None:
        table = {**table, "fwhm": arguments.psf_fwhm}
    if not table:
        return None
    try:
        return PsfConfig.model_validate(table)
    except ValidationError as error:
        raise ConfigurationError(explain(error, PsfConfig, table), where="psf") from error
