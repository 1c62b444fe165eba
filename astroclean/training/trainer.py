"""`Trainer`: how the network of a plugin is trained; plugins bring theirs by entry points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import ConfigDict, DirectoryPath, Field, ValidationError

from astroclean.core.configs import read_toml
from astroclean.core.sources.points import load_point, point_names
from astroclean.core.stage.options import Options, option_problems
from astroclean.errors import ConfigurationError
from astroclean.registry.distributions import how_to_get

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Recipe", "Trainer", "Training", "find_trainer", "make_recipe", "trainer_names"]

TRAINERS_GROUP = "astroclean.trainers"


class Recipe(Options):
    """What a training is made with. Subclass it as ``recipe`` of the trainer.

    The defaults are the recipe of the weights that the plugin ships. Give every field bounds, a
    default and a docstring with its unit.
    """

    model_config = ConfigDict(validate_default=True)

    seed: int = Field(default=1, ge=0)
    """Of first weights, data and their order."""
    steps: int = Field(default=10_000, ge=1)
    """Steps of the optimizer, those before an interruption included."""
    validate_every: int = Field(default=1_000, ge=1)
    """Steps from one validation to the next."""
    log_every: int = Field(default=50, ge=1)
    """Steps whose mean makes a line of the log."""
    checkpoint_minutes: float = Field(default=5.0, ge=0)
    """Least time from one checkpoint to the next, in minutes."""
    data: DirectoryPath | None = None
    """Folder with real frames; which files of it are used, the plugin says."""
    start: str | None = None
    """Weights to begin with, by a name that the plugin knows; none: random ones."""


SCHEDULE = frozenset({"steps", "validate_every", "log_every", "checkpoint_minutes"})
"""Keys of a recipe that may change when a training goes on."""


class Training(Protocol):
    """A training under way: the network, its optimizer, its data.

    After ``restore`` the next ``step`` gives what it would have given without the interruption:
    what is random in a step follows from the seed and the step's number alone.
    """

    def step(self, number: int) -> Mapping[str, float]:
        """Take one step of the optimizer, the first being number 1; return losses."""

    def validate(self) -> Mapping[str, float]:
        """Score the network on data that no step sees."""

    def save(self, folder: Path) -> None:
        """Write what ``restore`` needs into an empty folder."""

    def restore(self, folder: Path) -> None:
        """Take up what ``save`` wrote."""

    def export(self, folder: Path) -> Sequence[Path]:
        """Write the files that the plugin ships (ONNX, card, metrics); return them."""

    def close(self) -> None:
        """Stop processes, release files."""


class Trainer(Protocol):
    """Begins trainings; entry points in group ``astroclean.trainers``, named by the plugin.

    A class without arguments.
    """

    recipe: ClassVar[type[Recipe]]
    """Which settings there are."""
    monitor: ClassVar[str]
    """The value of ``validate`` that decides which weights are kept; more is better."""

    def begin(self, recipe: Any, folder: Path) -> Training:
        """Return a new training; what it needs to keep besides checkpoints goes into a folder."""


def trainer_names() -> tuple[str, ...]:
    """Return the plugins that can be trained; nothing is imported."""
    return point_names(TRAINERS_GROUP)


def find_trainer(name: str) -> Trainer:
    """Return the trainer of a plugin.

    Parameters
    ----------
    name : str
        Name of the plugin.

    Returns
    -------
    Trainer
        Ready to use.

    Raises
    ------
    ConfigurationError
        The plugin has none, or is not installed.
    PluginLoadError
        It cannot be imported.
    """
    remedy = how_to_get(name, "trainers")
    if remedy is not None and name not in trainer_names():
        raise ConfigurationError(f"no trainer '{name}' is installed. {remedy}")
    made: Trainer = load_point(TRAINERS_GROUP, name, "no trainer for plugin")()
    return made


def make_recipe(trainer: Trainer, file: Path | None, settings: Mapping[str, Any]) -> Recipe:
    """Return a checked recipe.

    Parameters
    ----------
    trainer : Trainer
        Whose recipe.
    file : Path, optional
        TOML file with keys of the recipe.
    settings : mapping
        Keys that win over those of the file.

    Returns
    -------
    Recipe
        Of the trainer's own class.

    Raises
    ------
    ConfigurationError
        A key is unknown or a value does not fit; every problem is listed.
    """
    given = {**(read_toml(file) if file is not None else {}), **settings}
    try:
        return trainer.recipe.model_validate(given)
    except ValidationError as error:
        problems = option_problems(error, trainer.recipe, given)
        where = "train" if file is None else str(file)
        raise ConfigurationError(problems, where=where) from error
