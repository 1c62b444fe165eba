"""`astroclean train maxitrack`: the compact screening network, from simulated exposures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from astroclean.evaluation.metrics.mask import confusion, count_scores
from astroclean.training.keras_model import (
    KerasRecipe,
    StreamTraining,
    TrainedModel,
    begin_with,
    built,
)
from astroclean.training.samples import fixed_samples, stream_of
from astroclean_maximask.shipped import start_path
from astroclean_maximask.track.conditions import CONDITIONS
from astroclean_maximask.track.samples import TrackSampleMaker
from astroclean_maximask.train.augmentation import ORIENTATIONS, turned
from astroclean_maximask.train.samples import VALIDATION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.training.trainer import Recipe

__all__ = ["MaxiTrackRecipe", "MaxiTrackTrainer", "MaxiTrackTraining"]


class MaxiTrackRecipe(KerasRecipe):
    """How the compact network of MaxiTrack is trained; a tile has 256 x 256 pixels."""

    steps: int = Field(default=4_000, ge=1)
    """Steps of the optimizer, those before an interruption included."""
    validate_every: int = Field(default=500, ge=1)
    """Steps from one validation to the next."""
    batch: int = Field(default=64, ge=1, le=4096)
    """Tiles in a step."""
    first: int = Field(default=800, ge=1)
    """Simulated tiles before the first step."""
    fresh: float = Field(default=1.2, ge=0)
    """New tiles for each step."""
    keep: int = Field(default=10_000, ge=1)
    """Tiles that a step draws from; 26 kB each on disk."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that simulate."""
    validation: int = Field(default=600, ge=1)
    """Simulated tiles of the validation."""


class MaxiTrackTrainer:
    """Trains the compact screening network; entry point ``maxitrack``."""

    recipe: ClassVar[type[Recipe]] = MaxiTrackRecipe
    monitor: ClassVar[str] = "AUC"

    def begin(self, recipe: Any, folder: Path) -> MaxiTrackTraining:
        """Return a new training."""
        return MaxiTrackTraining(recipe, folder)


class MaxiTrackTraining(StreamTraining):
    """The compact screening network, its optimizer, its samples."""

    def __init__(self, recipe: MaxiTrackRecipe, folder: Path) -> None:
        from astroclean_maximask.network.network import build_track  # noqa: PLC0415 - imports keras

        self._recipe = recipe
        model = built(lambda: build_track(len(CONDITIONS)), recipe)
        if recipe.start is not None:
            begin_with(model, start_path("maxitrack", recipe.start))
        make = TrackSampleMaker(recipe.seed)
        self._validation = fixed_samples(
            replace(make, offset=VALIDATION),
            folder / "validation",
            count=recipe.validation,
            workers=recipe.workers,
        )
        stream = stream_of(make, folder / "samples", recipe)
        losses = ["sparse_categorical_crossentropy"]
        super().__init__(TrainedModel(model, losses, recipe), stream)

    def step(self, number: int) -> Mapping[str, float]:
        """Take one step; return its loss."""
        rng = np.random.default_rng((self._recipe.seed, number))
        stars, conditions = [], []
        for sample in self._stream.draw(number, rng.random(self._recipe.batch)):
            star = sample["star"].astype(np.float32)
            stars.append(turned(star, int(rng.integers(ORIENTATIONS))))
            conditions.append(int(sample["condition"]))
        losses = self._trained.learn(number, np.stack(stars), [np.array(conditions)])
        return {"loss": losses[0]}

    def validate(self) -> Mapping[str, float]:
        """Score the averaged weights on exposures that no step sees."""
        spoiled = self._validation["condition"] > 0
        probability = 1 - self._chances()[:, 0]
        counts = confusion(probability > 0.5, spoiled)  # noqa: PLR2004 - even odds
        return {
            "AUC": count_scores(probability, spoiled).auc(),
            "accuracy": (counts.tpr + 1 - counts.fpr) / 2,
        }

    def _chances(self) -> NDArray[np.float64]:
        with self._trained.averaged() as model:
            stars = self._validation["star"].astype(np.float32)
            answers = model.predict(stars, batch_size=self._recipe.batch, verbose=0)
        return np.asarray(answers, dtype=np.float64)

    def export(self, folder: Path) -> Sequence[Path]:
        """Write ONNX file, card and example from the averaged weights."""
        from astroclean_maximask.train.shipping import export_track  # noqa: PLC0415 - imports keras

        return export_track(self._trained.average, folder)
