"""`astroclean train maxitrack`: the compact screening network, from simulated exposures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from astroclean.evaluation.metrics.mask import confusion, count_scores
from astroclean.training.keras_model import KerasRecipe, TrainedModel, begin_with, built
from astroclean.training.samples import SampleStream, StreamPlan
from astroclean_maximask.conditions import CONDITIONS
from astroclean_maximask.shipped import start_path
from astroclean_maximask.track_samples import TrackSampleMaker
from astroclean_maximask.training import turned, validation_samples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.training.trainer import Recipe

__all__ = ["MaxiTrackRecipe", "MaxiTrackTrainer", "MaxiTrackTraining"]

_ORIENTATIONS = 8


class MaxiTrackRecipe(KerasRecipe):
    """How the compact network of MaxiTrack is trained; a tile has 256 x 256 pixels."""

    steps: int = Field(default=6_000, ge=1)
    """Steps of the optimizer, those before an interruption included."""
    validate_every: int = Field(default=500, ge=1)
    """Steps from one validation to the next."""
    batch: int = Field(default=16, ge=1, le=4096)
    """Tiles in a step."""
    first: int = Field(default=1_000, ge=1)
    """Simulated tiles before the first step."""
    fresh: float = Field(default=1.5, ge=0)
    """New tiles for each step."""
    keep: int = Field(default=10_000, ge=1)
    """Tiles that a step draws from; 0.13 MB each on disk."""
    workers: int = Field(default=2, ge=1, le=256)
    """Processes that simulate."""
    validation: int = Field(default=800, ge=1)
    """Simulated tiles of the validation."""


class MaxiTrackTrainer:
    """Trains the compact screening network; entry point ``maxitrack``."""

    recipe: ClassVar[type[Recipe]] = MaxiTrackRecipe
    monitor: ClassVar[str] = "AUC"

    def begin(self, recipe: Any, folder: Path) -> MaxiTrackTraining:
        """Return a new training."""
        return MaxiTrackTraining(recipe, folder)


class MaxiTrackTraining:
    """The compact screening network, its optimizer, its samples."""

    def __init__(self, recipe: MaxiTrackRecipe, folder: Path) -> None:
        from astroclean_maximask.network import build_track  # noqa: PLC0415 - imports keras

        self._recipe = recipe
        model = built(lambda: build_track(len(CONDITIONS)), recipe)
        if recipe.start is not None:
            begin_with(model, start_path("maxitrack", recipe.start))
        self._trained = TrainedModel(model, ["sparse_categorical_crossentropy"], recipe)
        make = TrackSampleMaker(recipe.seed)
        self._validation = validation_samples(make, recipe, folder)
        self._stream = SampleStream(
            make,
            folder / "samples",
            plan=StreamPlan(recipe.first, recipe.fresh, recipe.keep),
            workers=recipe.workers,
        )

    def step(self, number: int) -> Mapping[str, float]:
        """Take one step; return its loss."""
        rng = np.random.default_rng((self._recipe.seed, number))
        pixels, conditions = [], []
        for sample in self._stream.draw(number, rng.random(self._recipe.batch)):
            values = np.sinh(sample["pixels"].astype(np.float32))
            values = values * np.float32(rng.uniform(0.9, 1.1)) + np.float32(rng.normal(0, 0.15))
            pixels.append(turned(values, int(rng.integers(_ORIENTATIONS))))
            conditions.append(int(sample["condition"]))
        batch = np.stack(pixels)[..., np.newaxis]
        losses = self._trained.learn(number, batch, [np.array(conditions)])
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
        pixels = np.sinh(self._validation["pixels"].astype(np.float32))[..., np.newaxis]
        with self._trained.averaged() as model:
            answers = [
                np.asarray(model.predict_on_batch(pixels[start : start + self._recipe.batch]))
                for start in range(0, len(pixels), self._recipe.batch)
            ]
        return np.concatenate(answers).astype(np.float64)

    def save(self, folder: Path) -> None:
        """Write weights, their average, and the optimizer."""
        self._trained.save(folder)

    def restore(self, folder: Path) -> None:
        """Take up what `save` wrote."""
        self._trained.restore(folder)

    def export(self, folder: Path) -> Sequence[Path]:
        """Write ONNX file, card and example from the averaged weights."""
        from astroclean_maximask.shipping import export_track  # noqa: PLC0415 - imports keras

        return export_track(self._trained.average, folder)

    def close(self) -> None:
        """Stop the processes that simulate."""
        self._stream.close()
