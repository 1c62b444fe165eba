"""`astroclean train maximask`: the compact network, from simulated exposures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from astroclean.errors import ConfigurationError
from astroclean.evaluation.metrics.mask import completeness_at, count_scores
from astroclean.training.samples import SampleStream, StreamPlan
from astroclean.training.trainer import Recipe
from astroclean_maximask.classes import CONTAMINANTS, EXTRA_CLASSES, OUTPUTS
from astroclean_maximask.samples import SampleMaker, labels_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["MaxiMaskRecipe", "MaxiMaskTrainer", "MaxiMaskTraining"]

_AUXILIARY = (1.0, 0.2, 0.2, 0.2)
"""Weights of the losses at full resolution, 1/2, 1/4 and 1/8 (paper, section 3.1.2)."""
_VALIDATION = 40_000_000
"""Numbers of validation samples begin here: no step reaches them."""
_ORIENTATIONS = 8
_RISING = 300
_KERNEL_AXES = (2, 3, 1, 0)
"""ONNX has kernels as (out, in, y, x), Keras as (y, x, in, out)."""
_CARDS = Path(__file__).parent / "cards"
_AVERAGING = 0.999
"""Part of the averaged weights that a step leaves."""


class MaxiMaskRecipe(Recipe):
    """How the compact network of MaxiMask is trained."""

    steps: int = Field(default=9_000, ge=1)
    """Steps of the optimizer, those before an interruption included."""
    validate_every: int = Field(default=500, ge=1)
    """Steps from one validation to the next."""
    batch: int = Field(default=8, ge=1, le=512)
    """Tiles of 256 x 256 pixels in a step."""
    rate: float = Field(default=1.5e-3, gt=0)
    """Highest learning rate; it rises over the first 300 steps and falls with a cosine."""
    decay: float = Field(default=1e-4, ge=0)
    """Weight decay."""
    weighting: float = Field(default=0.75, ge=0, le=1)
    """Power of a class's rarity in its weight: 1 is the paper's equation 15."""
    precision: Literal["f32", "bf16"] = "bf16"
    """Of activations; weights are float32."""
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


class MaxiMaskTraining:
    """The compact network, its optimizer, its samples."""

    def __init__(self, recipe: MaxiMaskRecipe, folder: Path) -> None:
        import keras  # noqa: PLC0415 - takes seconds, and only training needs it

        from astroclean_maximask.losses import class_weights  # noqa: PLC0415 - imports keras

        self._recipe = recipe
        keras.utils.set_random_seed(recipe.seed)
        self._model = _compiled(recipe)
        if recipe.start is not None:
            _begin_with(self._model, recipe.start)
        self._average = [np.array(value) for value in self._model.get_weights()]
        self._validation = _validation_samples(recipe, folder)
        labels = labels_of(self._validation["planes"])
        fractions = labels.reshape(-1, labels.shape[-1]).mean(axis=0, dtype=np.float64)
        self._weights = class_weights(fractions, power=recipe.weighting)
        self._stream = SampleStream(
            SampleMaker(recipe.seed, recipe.data),
            folder / "samples",
            plan=StreamPlan(recipe.first, recipe.fresh, recipe.keep),
            workers=recipe.workers,
        )

    def step(self, number: int) -> Mapping[str, float]:
        """Take one step; return its losses."""
        from astroclean_maximask.losses import weight_map  # noqa: PLC0415 - imports keras

        pixels, planes = self._batch(number)
        labels = labels_of(planes)
        weights = weight_map(labels, self._weights)[..., np.newaxis]
        target = np.concatenate([labels, weights], axis=-1)
        self._model.optimizer.learning_rate = _rate(self._recipe, number)
        losses = self._model.train_on_batch(pixels, [target] * len(_AUXILIARY))
        # Averaged weights score better than the last ones: what single steps add is noise.
        share = 1 - min(_AVERAGING, (1 + number) / (10 + number))
        self._average = [
            kept + np.float32(share) * (now - kept)
            for kept, now in zip(self._average, self._model.get_weights(), strict=True)
        ]
        return {"loss": float(losses[0]), "main": float(losses[1])}

    def _batch(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
        rng = np.random.default_rng((self._recipe.seed, number))
        pixels, planes = [], []
        for sample in self._stream.draw(number, rng.random(self._recipe.batch)):
            tile = int(rng.integers(len(sample["pixels"])))
            turn = int(rng.integers(_ORIENTATIONS))
            values = np.sinh(sample["pixels"][tile].astype(np.float32))
            # As if sky and noise had been measured a little wrong (paper, section 2.3.3).
            values = values * np.float32(rng.uniform(0.9, 1.1)) + np.float32(rng.normal(0, 0.15))
            pixels.append(_turned(values, turn))
            planes.append(_turned(sample["planes"][tile], turn))
        return np.stack(pixels)[..., np.newaxis], np.stack(planes)

    def validate(self) -> Mapping[str, float]:
        """Score the averaged weights on exposures that no step sees."""
        now = self._model.get_weights()
        self._model.set_weights(self._average)
        try:
            return _scores(self._model, self._validation, batch=self._recipe.batch)
        finally:
            self._model.set_weights(now)

    def save(self, folder: Path) -> None:
        """Write weights, their average, and the optimizer."""
        state = {f"weight_{i}": value for i, value in enumerate(self._model.get_weights())}
        state |= {f"average_{i}": value for i, value in enumerate(self._average)}
        for index, variable in enumerate(self._model.optimizer.variables):
            state[f"optimizer_{index}"] = np.asarray(variable)
        np.savez(folder / "state.npz", **state)

    def restore(self, folder: Path) -> None:
        """Take up what `save` wrote."""
        with np.load(folder / "state.npz") as kept:
            count = len(self._average)
            self._model.set_weights([kept[f"weight_{i}"] for i in range(count)])
            self._average = [kept[f"average_{i}"] for i in range(count)]
            for index, variable in enumerate(self._model.optimizer.variables):
                variable.assign(kept[f"optimizer_{index}"])

    def export(self, folder: Path) -> Sequence[Path]:
        """Write ONNX file, card and example from the averaged weights."""
        from astroclean_maximask.shipping import export_compact  # noqa: PLC0415 - imports keras

        return export_compact(self._average, self._validation, folder)

    def close(self) -> None:
        """Stop the processes that simulate."""
        self._stream.close()


def _compiled(recipe: MaxiMaskRecipe) -> Any:
    import keras  # noqa: PLC0415 - takes seconds

    from astroclean_maximask.losses import pooled_cross_entropy  # noqa: PLC0415 - imports keras
    from astroclean_maximask.network import build_compact  # noqa: PLC0415 - imports keras

    policies = {"f32": "float32", "bf16": "mixed_bfloat16"}
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policies[recipe.precision])
    try:
        model = build_compact(len(OUTPUTS) + len(EXTRA_CLASSES), auxiliary=True)
    finally:
        keras.config.set_dtype_policy(before)
    optimizer = keras.optimizers.AdamW(recipe.rate, weight_decay=recipe.decay, global_clipnorm=1.0)
    count = len(_AUXILIARY)
    model.compile(optimizer, [pooled_cross_entropy] * count, loss_weights=list(_AUXILIARY))
    optimizer.build(model.trainable_variables)
    return model


def _begin_with(model: Any, start: str) -> None:
    """Fill a model with the weights of an earlier training."""
    from astroclean.inference.initializers import read_initializers  # noqa: PLC0415 - onnx

    path = Path(start) if start.endswith(".onnx") else _CARDS / f"maximask-{start}.onnx"
    if not path.is_file():
        raise ConfigurationError(
            f"start: '{start}' is neither an ONNX file of the compact network nor 'astroclean'"
        )
    known = read_initializers(path)
    for variable in model.trainable_variables:
        if variable.path in known:
            values = known[variable.path]
            kernel = values.ndim == len(_KERNEL_AXES)
            variable.assign(values.transpose(_KERNEL_AXES) if kernel else values)


def _rate(recipe: MaxiMaskRecipe, number: int) -> float:
    rising = min(1.0, number / 300)
    return (
        recipe.rate * rising * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * number / recipe.steps)))
    )


def _turned(image: NDArray[Any], turn: int) -> NDArray[Any]:
    flipped = image[:, ::-1] if turn >= _ORIENTATIONS // 2 else image
    return np.rot90(flipped, turn % 4)


def _validation_samples(recipe: MaxiMaskRecipe, folder: Path) -> dict[str, NDArray[Any]]:
    """Return the tiles of the validation, made once."""
    make = SampleMaker(recipe.seed, recipe.data, offset=_VALIDATION)
    plan = StreamPlan(recipe.validation, 0.0, recipe.validation)
    stream = SampleStream(make, folder / "validation", plan=plan, workers=recipe.workers)
    try:
        numbers = (np.arange(recipe.validation) + 0.5) / recipe.validation
        samples = stream.draw(1, numbers)
        return {name: np.concatenate([s[name] for s in samples]) for name in samples[0]}
    finally:
        stream.close()


def _scores(model: Any, samples: Mapping[str, NDArray[Any]], *, batch: int) -> dict[str, float]:
    """Return the mean over classes of the best MCC, and measures of cosmic rays."""
    counts: dict[str, Any] = {}
    for start in range(0, len(samples["pixels"]), batch):
        part = slice(start, start + batch)
        pixels = np.sinh(samples["pixels"][part].astype(np.float32))[..., np.newaxis]
        logits = np.asarray(model.predict_on_batch(pixels)[0], dtype=np.float64)
        labels = labels_of(samples["planes"][part]) > 0
        for channel, plane in enumerate(CONTAMINANTS):
            scores = 1 / (1 + np.exp(-logits[..., channel]))
            found = count_scores(scores, labels[..., channel])
            counts[plane.alias] = counts[plane.alias] + found if plane.alias in counts else found
    best = {alias: found.best_mcc() for alias, found in counts.items()}
    fpr, tpr = counts["CR"].roc()
    return {
        "mcc": float(np.nanmean(list(best.values()))),
        **best,
        "CR at 1e-3": completeness_at(fpr, tpr, limit=1e-3),
        "CR at 1e-4": completeness_at(fpr, tpr, limit=1e-4),
    }
