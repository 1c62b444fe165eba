"""`astroclean train maximask`: from simulated exposures, hits of darks, and the user's frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

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
from astroclean.training.samples import fixed_samples, stream_of
from astroclean_maximask.classes import CONTAMINANTS
from astroclean_maximask.network.architectures import architecture_of
from astroclean_maximask.network.scoring import class_counts
from astroclean_maximask.shipped import start_path
from astroclean_maximask.train.augmentation import ORIENTATIONS, measured_anew, turned
from astroclean_maximask.train.instrument import gather, makers
from astroclean_maximask.train.samples import (
    SIDE,
    TILE,
    InjectedSampleMaker,
    doubtful,
    labels_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.evaluation.metrics.mask import ScoreCounts
    from astroclean.training.trainer import Recipe

__all__ = ["MaxiMaskRecipe", "MaxiMaskTrainer", "MaxiMaskTraining"]


class MaxiMaskRecipe(KerasRecipe):
    """How MaxiMask is trained; a tile has 384 x 384 pixels.

    The folder ``data`` may hold ``cosmic_rays_itl_even.fits.gz``, real hits; ``darks/``, dark
    exposures from which hits are harvested; ``frames/``, exposures of the instrument. With
    ``start = "published"`` the network is the paper's, else the compact one.
    """

    steps: int = Field(default=7_500, ge=1)
    """Steps of the optimizer, those before an interruption included."""
    validate_every: int = Field(default=500, ge=1)
    """Steps from one validation to the next."""
    wide: bool = False
    """Whether the network has two coarser resolutions more, for what is large; it may begin with
    the weights of the compact one."""
    weighting: float = Field(default=0.75, ge=0, le=1)
    """Power of a class's rarity in its weight: 1 is the paper's equation 15."""
    coarse_weight: float | None = Field(default=None, ge=0)
    """Of the loss of each answer at 1/2, 1/4 and 1/8 of the resolution. None: 0.2; 0 where the
    training begins with weights, for shipped ones lack the layers of these answers, and what
    untrained layers ask for would undo what the others know."""
    first: int = Field(default=64, ge=1)
    """Exposures before the first step."""
    fresh: float = Field(default=0.4, ge=0)
    """New exposures for each step."""
    keep: int = Field(default=1_500, ge=1)
    """Exposures that a step draws from; 1.6 MB each on disk."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that simulate."""
    validation: int = Field(default=40, ge=1)
    """Exposures of the validation."""
    calibration: int = Field(default=80, ge=1)
    """Exposures of the second recipe, simulator ``injected``."""
    calibrate_on: Literal["injected", "validation"] = "injected"
    """Samples on which probabilities are calibrated and thresholds chosen: those of another recipe
    than the training's, or those of its validation, which holds frames of the user's."""
    frames_share: float = Field(default=0.5, ge=0, le=1)
    """Share of the exposures, those of the validation too, that are cut from ``frames/``; where
    there are none, all are simulated."""


class MaxiMaskTrainer:
    """Trains the compact network or the paper's; entry point ``maximask``."""

    recipe: ClassVar[type[Recipe]] = MaxiMaskRecipe
    monitor: ClassVar[str] = "mcc"

    def begin(self, recipe: Any, folder: Path) -> MaxiMaskTraining:
        """Return a new training."""
        return MaxiMaskTraining(recipe, folder)


class MaxiMaskTraining(StreamTraining):
    """The network, its optimizer, its samples."""

    def __init__(self, recipe: MaxiMaskRecipe, folder: Path) -> None:
        from astroclean_maximask.network.losses import (  # noqa: PLC0415 - imports keras
            class_weights,
            pooled_cross_entropy,
        )

        self._recipe, self._folder = recipe, folder
        start = None if recipe.start is None else start_path("maximask", recipe.start)
        self._network = architecture_of(start, wide=recipe.wide)
        count = len(self._network.channels)
        model = built(self._network.build, recipe)
        if start is not None:
            begin_with(model, start)
        self._loss_weights = _loss_weights(self._network.weights, recipe)
        losses = [pooled_cross_entropy] * len(self._loss_weights)
        data = gather(recipe.data, folder)
        learned, held_out = makers(data, seed=recipe.seed, share=recipe.frames_share)
        kept = fixed_samples(
            held_out,
            folder / f"validation{data.suffix}",
            count=recipe.validation,
            workers=recipe.workers,
        )
        self._validation = kept
        labels = self._labels(self._validation["planes"])
        fractions = labels.reshape(-1, count).mean(axis=0, dtype=np.float64)
        self._weights = class_weights(fractions, power=recipe.weighting)
        stream = stream_of(learned, folder / f"samples{data.suffix}", recipe)
        trained = TrainedModel(model, losses, recipe, weights=self._loss_weights)
        super().__init__(trained, stream)

    def _labels(self, planes: NDArray[np.uint32]) -> NDArray[np.float32]:
        # The paper's network has the first 14 of the classes.
        return labels_of(planes)[..., : len(self._network.channels)]

    def step(self, number: int) -> Mapping[str, float]:
        """Take one step; return its losses."""
        from astroclean_maximask.network.losses import weight_map  # noqa: PLC0415 - imports keras

        pixels, planes = self._batch(number)
        labels = self._labels(planes)
        weights = weight_map(labels, self._weights, doubtful(planes))[..., np.newaxis]
        target = np.concatenate([labels, weights], axis=-1)
        losses = self._trained.learn(number, pixels, [target] * len(self._loss_weights))
        return {"loss": losses[0], "main": losses[-len(self._loss_weights)]}

    def _batch(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
        rng = np.random.default_rng((self._recipe.seed, number))
        pixels, planes = [], []
        for sample in self._stream.draw(number, rng.random(self._recipe.batch)):
            y, x = rng.integers(SIDE - TILE + 1, size=2)
            tile = np.s_[y : y + TILE, x : x + TILE]
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
        samples = self._validation
        if self._recipe.calibrate_on == "injected":
            samples = fixed_samples(
                InjectedSampleMaker(self._recipe.seed),
                self._folder / "calibration",
                count=self._recipe.calibration,
                workers=self._recipe.workers,
            )
        return self._network.export(self._trained.average, samples, folder)


def _loss_weights(usual: tuple[float, ...], recipe: MaxiMaskRecipe) -> tuple[float, ...]:
    """Return the weights of the losses, that at full resolution first."""
    coarse = recipe.coarse_weight
    if coarse is None and recipe.start is not None:
        coarse = 0.0
    return usual if coarse is None else (usual[0], *[coarse] * (len(usual) - 1))


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
