"""`astroclean simulate KIND -o DIR [--seed N] [--count N] [--shape NY NX] [--set KEY=VALUE]`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from astroclean.core.configs import toml_value
from astroclean.core.sources.points import point_names
from astroclean.errors import ConfigurationError, OutputError, PluginLoadError
from astroclean.evaluation.evaluation import SIMULATORS_GROUP, find_simulator
from astroclean.io.remote.urls import refuse_url
from astroclean.simulate.options import configured

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from astroclean.simulate.scene import Scene, Simulator

__all__ = ["add_arguments", "run"]

_SMALLEST, _LARGEST = 32, 16384


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the verb."""
    known = ", ".join(point_names(SIMULATORS_GROUP)) or "none installed"
    parser.add_argument("kind", metavar="KIND", help=f"what to simulate: {known}")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for the frames and their truth; made where it is missing",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of the first frame (default 0)"
    )
    parser.add_argument(
        "--count", type=int, default=1, metavar="N", help="how many frames (default 1)"
    )
    parser.add_argument(
        "--shape",
        type=int,
        nargs=2,
        default=(256, 256),
        metavar=("NY", "NX"),
        help="size in pixels (default 256 256)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="KEY=VALUE",
        help="set an option of the simulator, such as psf.fwhm=[2,3]; may be repeated",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def run(arguments: Namespace) -> int:
    """Run the verb; return the exit status."""
    _check(arguments)
    simulator = configured(find_simulator(arguments.kind), _settings(arguments.settings))
    from astroclean.simulate.write import scene_paths, write_scene  # noqa: PLC0415 - needs astropy

    folder: Path = arguments.output
    refuse_url(folder, what="simulated scenes")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot be made: {error.strerror}", where=str(folder)) from error
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    names = {seed: f"{arguments.kind}_{seed:06d}" for seed in seeds}
    single = [folder / f"{n}{end}.fits" for n in names.values() for end in ("", "_truth")]
    _refuse_existing(single, overwrite=arguments.overwrite)
    shape = (arguments.shape[0], arguments.shape[1])
    for seed, name in names.items():
        scene = _simulate(simulator, arguments.kind, seed, shape)
        # Which bands there are, the scene tells.
        _refuse_existing(scene_paths(scene, folder, name=name), overwrite=arguments.overwrite)
        first, *others = write_scene(scene, folder, name=name, seed=seed)
        print(first, *(path.name for path in others))
    return 0


def _check(arguments: Namespace) -> None:
    problems = []
    if arguments.seed < 0:
        problems.append(f"--seed: 0 or more, not {arguments.seed}")
    if arguments.count < 1:
        problems.append(f"--count: 1 or more, not {arguments.count}")
    if not all(_SMALLEST <= side <= _LARGEST for side in arguments.shape):
        sides = " ".join(map(str, arguments.shape))
        problems.append(f"--shape: sides of {_SMALLEST} to {_LARGEST} pixels, not {sides}")
    if problems:
        raise ConfigurationError(problems)


def _settings(given: list[str]) -> dict[str, Any]:
    pairs = [text.partition("=") for text in given]
    wrong = [f"--set {name}: must read key=value" for name, equals, _ in pairs if not equals]
    if wrong:
        raise ConfigurationError(wrong)
    return {name.strip(): toml_value(value.strip()) for name, _, value in pairs}


def _simulate(simulator: Simulator, kind: str, seed: int, shape: tuple[int, int]) -> Scene:
    try:
        return simulator(seed=seed, shape=shape)
    except ImportError as error:
        raise PluginLoadError(
            f"needs a package that is not installed: {error.name}",
            where=f"simulator '{kind}'",
            remedy="pip install 'astroclean[evaluate]'.",
        ) from error


def _refuse_existing(paths: Sequence[Path], *, overwrite: bool) -> None:
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        raise OutputError(
            "files of these names exist",
            where=str(there[0].parent),
            received=there[0].name + (f" and {len(there) - 1} more" if len(there) > 1 else ""),
            remedy="Give another folder or seed, or --overwrite.",
        )
