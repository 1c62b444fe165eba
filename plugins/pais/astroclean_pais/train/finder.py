"""`astroclean train pais`: the finder, from crowded scenes that are drawn on the fly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from astroclean.training.keras_model import (
    KerasRecipe,
    StreamTraining,
    TrainedModel,
    begin_with,
    built,
)
from astroclean.training.samples import fixed_samples, stream_of
from astroclean_pais.features import features
from astroclean_pais.train.labels import maps_of, rows_of, turned_rows
from astroclean_pais.train.scenes import SIDE, draw_scene
from astroclean_pais.train.scoring import detection_scores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from astroclean.training.trainer import Recipe

__all__ = ["FinderRecipe", "FinderSampleMaker", "FinderTrainer", "FinderTraining"]

_TILE = 160
"""Pixels along what a step sees of a scene."""
_ORIENTATIONS = 8
_VALIDATION = 40_000_000
_SEEDS = 5_000_000_000
"""Seeds of training; those of evaluations and validation are others."""


class FinderRecipe(KerasRecipe):
    """How the finder is trained; a scene has 192 x 192 pixels, a step sees 160 x 160 of it."""

    steps: int = Field(default=9_000, ge=1)
    """Steps of the optimizer, those before an interruption included."""
    validate_every: int = Field(default=500, ge=1)
    """Steps from one validation to the next."""
    batch: int = Field(default=12, ge=1, le=4096)
    """Scenes in a step."""
    rate: float = Field(default=2e-3, gt=0)
    """Highest learning rate; it rises over the first 300 steps and falls with a cosine."""
    first: int = Field(default=240, ge=1)
    """Scenes before the first step."""
    fresh: float = Field(default=1.0, ge=0)
    """New scenes for each step."""
    keep: int = Field(default=4_000, ge=1)
    """Scenes that a step draws from; 0.4 MB each on disk."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that draw them."""
    validation: int = Field(default=120, ge=1)
    """Scenes of the validation, with galaxies that no step sees."""


@dataclass(frozen=True)
class FinderSampleMaker:
    """Makes the sample of a number; a function that other processes can be given."""

    seed: int
    """Of the training."""
    offset: int = 0
    """Added to numbers, for a set of its own."""
    held_out: bool = False
    """Whether galaxies are those of the validation."""

    def __call__(self, number: int) -> dict[str, NDArray[Any]]:
        """Return ``planes``, (6, 192, 192) float16, and ``rows``, (700, 11) float32."""
        rng = np.random.default_rng(_SEEDS + 100_000_000 * self.seed + self.offset + number)
        scene = draw_scene(rng, held_out=self.held_out)
        planes = features(scene.data, scene.usable, scene.fwhm)
        return {"planes": planes.astype(np.float16), "rows": rows_of(scene)}


class FinderTrainer:
    """Trains the finder; entry point ``pais``."""

    recipe: ClassVar[type[Recipe]] = FinderRecipe
    monitor: ClassVar[str] = "f1"

    def begin(self, recipe: Any, folder: Path) -> FinderTraining:
        """Return a new training."""
        return FinderTraining(recipe, folder)


class FinderTraining(StreamTraining):
    """The finder, its optimizer, its samples."""

    def __init__(self, recipe: FinderRecipe, folder: Path) -> None:
        from astroclean_pais.network.finder import build_finder  # noqa: PLC0415 - imports keras
        from astroclean_pais.network.losses import finder_loss  # noqa: PLC0415 - imports keras

        self._recipe = recipe
        model = built(build_finder, recipe)
        if recipe.start is not None:
            begin_with(model, Path(recipe.start).expanduser())
        make = FinderSampleMaker(recipe.seed)
        self._validation = fixed_samples(
            replace(make, offset=_VALIDATION, held_out=True),
            folder / "validation",
            count=recipe.validation,
            workers=recipe.workers,
        )
        stream = stream_of(make, folder / "samples", recipe)
        super().__init__(TrainedModel(model, [finder_loss], recipe), stream)

    def step(self, number: int) -> Mapping[str, float]:
        """Take one step; return its loss."""
        rng = np.random.default_rng((self._recipe.seed, number))
        planes, maps = [], []
        for sample in self._stream.draw(number, rng.random(self._recipe.batch)):
            top, left = rng.integers(SIDE - _TILE + 1, size=2)
            turn = int(rng.integers(_ORIENTATIONS))
            image = sample["planes"][:, top : top + _TILE, left : left + _TILE]
            image = image[:, :, ::-1] if turn >= _ORIENTATIONS // 2 else image
            planes.append(np.rot90(image, turn % 4, axes=(1, 2)))
            rows = sample["rows"][sample["rows"][:, 0] > 0] - _shift(top, left)
            maps.append(maps_of(turned_rows(rows, turn, _TILE), _TILE))
        fed = np.stack(planes).transpose(0, 2, 3, 1).astype(np.float32)
        return {"loss": self._trained.learn(number, fed, [np.stack(maps)])[0]}

    def validate(self) -> Mapping[str, float]:
        """Score the averaged weights on scenes that no step sees."""
        with self._trained.averaged() as model:
            return detection_scores(model, self._validation, batch=self._recipe.batch)

    def export(self, folder: Path) -> Sequence[Path]:
        """Write ONNX file, card and example from the averaged weights."""
        from astroclean_pais.train.shipping import export_finder  # noqa: PLC0415 - imports keras

        return export_finder(self._trained.average, self._validation, folder)


def _shift(top: int, left: int) -> NDArray[np.float32]:
    shift = np.zeros(11, dtype=np.float32)
    shift[1:3] = top, left
    return shift
