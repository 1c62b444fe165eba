"""`astroclean train maximask`: the compact network, from simulated exposures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from astroclean.evaluation.metrics.mask import completeness_at
from astroclean.training.keras_model import (
    KerasRecipe,
    StreamTraining,
    TrainedModel,
    begin_with,
    built,
)
from astroclean.training.samples import SampleStream, StreamPlan, fixed_samples
from astroclean_maximask.augmentation import ORIENTATIONS, measured_anew, turned
from astroclean_maximask.classes import CHANNELS, CONTAMINANTS
from astroclean_maximask.samples import SampleMaker, labels_of
from astroclean_maximask.scoring import class_counts
from astroclean_maximask.shipped import start_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.evaluation.metrics.mask import ScoreCounts
    from astroclean.training.trainer import Recipe

__all__ = [
    "VALIDATION",
    "MaxiMaskRecipe",
    "MaxiMaskTrainer",
    "MaxiMaskTraining",
]

_AUXILIARY = (1.0, 0.2, 0.2, 0.2)
"""Weights of the losses at full resolution, 1/2, 1/4 and 1/8 (paper, section 3.1.2)."""
VALIDATION = 40_000_000
"""Numbers of validation samples begin here: no step reaches them."""


class MaxiMaskRecipe(KerasRecipe):
    """How the compact network of MaxiMask is trained; a tile has 256 x 256 pixels."""

    steps: int = Field(default=7_500, ge=1)
    """Steps of the optimizer, those before an interruption included."""
    validate_every: int = Field(default=500, ge=1)
    """Steps from one validation to the next."""
    weighting: float = Field(default=0.75, ge=0, le=1)
    """Power of a class's rarity in its weight: 1 is the paper's equation 15."""
    first: int = Field(default=64, ge=1)
    """Simulated exposures before the first step; each has four tiles."""
    fresh: float = Field(default=0.4, ge=0)
    """New exposures for each step."""
    keep: int = Field(default=1_500, ge=1)
    """Exposures that a step draws from; 1.6 MB each on disk."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that simulate."""
    validation: int = Field(default=40, ge=1)
    """Simulated exposures of the validation."""


class MaxiMaskTrainer:
    """Trains the compact network; entry point ``maximask``."""

    recipe: ClassVar[type[Recipe]] = MaxiMaskRecipe
    monitor: ClassVar[str] = "mcc"

    def begin(self, recipe: Any, folder: Path) -> MaxiMaskTraining:
        """Return a new training."""
        return MaxiMaskTraining(recipe, folder)


class MaxiMaskTraining(StreamTraining):
    """The compact network, its optimizer, its samples."""

    def __init__(self, recipe: MaxiMaskRecipe, folder: Path) -> None:
        from astroclean_maximask.losses import (  # noqa: PLC0415 - imports keras
            class_weights,
            pooled_cross_entropy,
        )
        from astroclean_maximask.network import build_compact  # noqa: PLC0415 - imports keras

        self._recipe = recipe
        count = len(CHANNELS)
        model = built(lambda: build_compact(count, auxiliary=True), recipe)
        if recipe.start is not None:
            begin_with(model, start_path("maximask", recipe.start))
        losses = [pooled_cross_entropy] * len(_AUXILIARY)
        make = SampleMaker(recipe.seed, recipe.data)
        kept = fixed_samples(
            replace(make, offset=VALIDATION),
            folder / "validation",
            count=recipe.validation,
            workers=recipe.workers,
        )
        self._validation = {name: np.concatenate(list(tiles)) for name, tiles in kept.items()}
        labels = labels_of(self._validation["planes"])
        fractions = labels.reshape(-1, count).mean(axis=0, dtype=np.float64)
        self._weights = class_weights(fractions, power=recipe.weighting)
        stream = SampleStream(
            make,
            folder / "samples",
            plan=StreamPlan(recipe.first, recipe.fresh, recipe.keep),
            workers=recipe.workers,
        )
        super().__init__(TrainedModel(model, losses, recipe, weights=_AUXILIARY), stream)

    def step(self, number: int) -> Mapping[str, float]:
        """Take one step; return its losses."""
        from astroclean_maximask.losses import weight_map  # noqa: PLC0415 - imports keras

        pixels, planes = self._batch(number)
        labels = labels_of(planes)
        weights = weight_map(labels, self._weights)[..., np.newaxis]
        target = np.concatenate([labels, weights], axis=-1)
        losses = self._trained.learn(number, pixels, [target] * len(_AUXILIARY))
        return {"loss": losses[0], "main": losses[1]}

    def _batch(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
        rng = np.random.default_rng((self._recipe.seed, number))
        pixels, planes = [], []
        for sample in self._stream.draw(number, rng.random(self._recipe.batch)):
            tile = int(rng.integers(len(sample["pixels"])))
            turn = int(rng.integers(ORIENTATIONS))
            pixels.append(turned(measured_anew(sample["pixels"][tile], rng), turn))
            planes.append(turned(sample["planes"][tile], turn))
        return np.stack(pixels)[..., np.newaxis], np.stack(planes)

    def validate(self) -> Mapping[str, float]:
        """Score the averaged weights on exposures that no step sees."""
        with self._trained.averaged() as model:
            return _scores(class_counts(model, self._validation, batch=self._recipe.batch))

    def export(self, folder: Path) -> Sequence[Path]:
        """Write ONNX file, card and example from the averaged weights."""
        from astroclean_maximask.shipping import export_compact  # noqa: PLC0415 - imports keras

        return export_compact(self._trained.average, self._validation, folder)


def _scores(counts: Mapping[str, ScoreCounts]) -> dict[str, float]:
    """Return the mean over classes of the best MCC, and measures of cosmic rays."""
    best = {plane.alias: counts[plane.alias].best_mcc() for plane in CONTAMINANTS}
    fpr, tpr = counts["CR"].roc()
    return {
        "mcc": float(np.nanmean(list(best.values()))),
        **best,
        "CR at 1e-3": completeness_at(fpr, tpr, limit=1e-3),
        "CR at 1e-4": completeness_at(fpr, tpr, limit=1e-4),
    }
