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
from astroclean.training.samples import SampleStream, StreamPlan, fixed_samples
from astroclean_maximask.calibration import calibrate
from astroclean_maximask.conditions import CONDITIONS
from astroclean_maximask.samples import VALIDATION
from astroclean_maximask.shipped import start_path
from astroclean_maximask.track_samples import TILES, TrackSampleMaker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.training.trainer import Recipe

__all__ = ["MaxiTrackRecipe", "MaxiTrackTrainer", "MaxiTrackTraining"]


_REJECTED = 0.01
"""Share of good exposures that the stage may reject."""
_ODDS = float(np.log(0.6 / 0.4) + np.log(0.95 / 0.05))
"""Log-odds in a training, six in ten of whose exposures are spoiled, at which the stage rejects
with its default prior and threshold."""


class MaxiTrackRecipe(KerasRecipe):
    """How the compact network of MaxiTrack is trained; a tile has 256 x 256 pixels."""

    steps: int = Field(default=4_000, ge=1)
    """Steps of the optimizer, those before an interruption included."""
    validate_every: int = Field(default=500, ge=1)
    """Steps from one validation to the next."""
    batch: int = Field(default=64, ge=1, le=4096)
    """Tiles in a step."""
    first: int = Field(default=800, ge=1)
    """Simulated exposures before the first step; each has two tiles."""
    fresh: float = Field(default=1.2, ge=0)
    """New exposures for each step."""
    keep: int = Field(default=10_000, ge=1)
    """Exposures that a step draws from; 23 kB each on disk."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that simulate."""
    validation: int = Field(default=600, ge=1)
    """Simulated exposures of the validation."""


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
        from astroclean_maximask.network import (  # noqa: PLC0415 - imports keras
            build_track,
            set_components,
        )

        self._recipe = recipe
        model = built(lambda: build_track(len(CONDITIONS)), recipe)
        make = TrackSampleMaker(recipe.seed)
        self._validation = fixed_samples(
            replace(make, offset=VALIDATION),
            folder / "validation",
            count=recipe.validation,
            workers=recipe.workers,
        )
        if recipe.start is not None:
            begin_with(model, start_path("maxitrack", recipe.start))
        else:
            set_components(model, _tiles(self._validation["star"]))
        stream = SampleStream(
            make,
            folder / "samples",
            plan=StreamPlan(recipe.first, recipe.fresh, recipe.keep),
            workers=recipe.workers,
        )
        losses = ["sparse_categorical_crossentropy"]
        super().__init__(TrainedModel(model, losses, recipe), stream)

    def step(self, number: int) -> Mapping[str, float]:
        """Take one step; return its loss."""
        rng = np.random.default_rng((self._recipe.seed, number))
        stars, conditions = [], []
        for sample in self._stream.draw(number, rng.random(self._recipe.batch)):
            star = sample["star"][int(rng.integers(TILES))].astype(np.float32)
            # Of a turned or mirrored sky only the angle differs.
            star[..., -2:] *= rng.choice([-1.0, 1.0])
            star[..., -1] *= rng.choice([-1.0, 1.0])
            stars.append(star)
            conditions.append(int(sample["condition"]))
        losses = self._trained.learn(number, np.stack(stars), [np.array(conditions)])
        return {"loss": losses[0]}

    def validate(self) -> Mapping[str, float]:
        """Score the averaged weights on exposures that no step sees."""
        spoiled = np.repeat(self._validation["condition"] > 0, TILES)
        probability = 1 - self._chances()[:, 0]
        counts = confusion(probability > 0.5, spoiled)  # noqa: PLR2004 - even odds
        return {
            "AUC": count_scores(probability, spoiled).auc(),
            "accuracy": (counts.tpr + 1 - counts.fpr) / 2,
        }

    def _chances(self) -> NDArray[np.float64]:
        with self._trained.averaged() as model:
            stars = _tiles(self._validation["star"])
            answers = model.predict(stars, batch_size=self._recipe.batch, verbose=0)
        return np.asarray(answers, dtype=np.float64)

    def export(self, folder: Path) -> Sequence[Path]:
        """Write ONNX file, card and example from the averaged weights."""
        from astroclean_maximask.shipping import export_track  # noqa: PLC0415 - imports keras

        spoiled = np.repeat(self._validation["condition"] > 0, TILES)
        line = _line(1 - self._chances()[:, 0], spoiled)
        return export_track(self._trained.average, folder, line=line)


def _line(probability: NDArray[np.float64], spoiled: NDArray[np.bool_]) -> tuple[float, float]:
    """Return slope and offset for the log-odds of being spoiled.

    The slope is that of a calibration. The offset lets the threshold of the stage reject one in a
    hundred good exposures: what a rejected night costs is known, what share is spoiled is not.
    """
    slope, offset = calibrate(count_scores(probability, spoiled))
    good = np.clip(probability[~spoiled], 1e-9, 1 - 1e-9)
    if not good.size:
        return slope, offset
    limit = float(np.quantile(np.log(good / (1 - good)), 1 - _REJECTED))
    return slope, _ODDS - slope * limit


def _tiles(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Return the tiles of all samples in a row."""
    return np.concatenate(list(samples)).astype(np.float32)
