"""What every training of a Keras model shares: schedule, averaged weights, checkpoints."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from astroclean.errors import ConfigurationError
from astroclean.training.trainer import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.training.samples import SampleStream

__all__ = ["KerasRecipe", "StreamTraining", "TrainedModel", "begin_with", "built"]

_RISING = 300
_LEAST = 0.01
"""Learning rate at the end, as a part of the highest."""
_AVERAGING = 0.999
"""Part of the averaged weights that a step leaves."""
_KERNEL_AXES = (2, 3, 1, 0)
"""ONNX has kernels as (out, in, y, x), Keras as (y, x, in, out)."""
_STATE = "state.npz"


class KerasRecipe(Recipe):
    """Settings of every training of a Keras model."""

    batch: int = Field(default=8, ge=1, le=4096)
    """Tiles in a step."""
    rate: float = Field(default=1.5e-3, gt=0)
    """Highest learning rate; it rises over the first 300 steps and falls with a cosine."""
    decay: float = Field(default=1e-4, ge=0)
    """Weight decay."""
    precision: Literal["f32", "bf16"] = "bf16"
    """Of activations; weights are float32."""


def built(build: Callable[[], Any], recipe: KerasRecipe) -> Any:
    """Return a model built with the precision and the seed of a recipe.

    Parameters
    ----------
    build : callable
        Returns a `keras.Model`.
    recipe : KerasRecipe
        Of the training.

    Returns
    -------
    keras.Model
        With random weights.
    """
    import keras  # noqa: PLC0415 - takes seconds, and only training needs it

    policies = {"f32": "float32", "bf16": "mixed_bfloat16"}
    before = keras.config.dtype_policy()
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(policies[recipe.precision])
    try:
        return build()
    finally:
        keras.config.set_dtype_policy(before)


def begin_with(model: Any, weights: Path) -> None:
    """Fill a model with the parameters of an ONNX file that have the names of its variables.

    Parameters
    ----------
    model : keras.Model
        Modified.
    weights : Path
        As `astroclean.training.keras_onnx` wrote it.

    Raises
    ------
    ConfigurationError
        There is no such file, or none of its parameters fits.
    """
    from astroclean.inference.initializers import read_initializers  # noqa: PLC0415 - onnx

    if not weights.is_file():
        raise ConfigurationError(f"start: there is no file {weights}")
    known = read_initializers(weights)
    filled = 0
    for variable in model.trainable_variables:
        values = known.get(variable.path)
        if values is None:
            continue
        if values.ndim == len(_KERNEL_AXES):
            values = values.transpose(_KERNEL_AXES)
        filled += _fill(variable, values)
    if not filled:
        raise ConfigurationError(f"start: {weights} has no parameter of this network")


def _fill(variable: Any, values: NDArray[Any]) -> bool:
    """Fill a variable; a kernel that has got more inputs begins by ignoring the new ones."""
    shape = tuple(variable.shape)
    is_kernel = values.ndim == len(_KERNEL_AXES) == len(shape)
    if is_kernel and values.shape[2] < shape[2]:
        wider = np.zeros((*shape[:2], shape[2] - values.shape[2], values.shape[3]), values.dtype)
        values = np.concatenate([values, wider], axis=2)
    if values.shape != shape:
        return False
    variable.assign(values)
    return True


class TrainedModel:
    """A Keras model with AdamW, a schedule, and a running average of its weights.

    Averaged weights score better than the last ones: what single steps add is noise.

    Parameters
    ----------
    model : keras.Model
        Its start.
    losses : sequence of callable
        One for each output.
    weights : sequence of float
        Of these losses.
    recipe : KerasRecipe
        Of the training.
    """

    def __init__(
        self,
        model: Any,
        losses: Sequence[Any],
        recipe: KerasRecipe,
        *,
        weights: Sequence[float] = (1.0,),
    ) -> None:
        import keras  # noqa: PLC0415 - takes seconds, and only training needs it

        self.model = model
        self._recipe = recipe
        optimizer = keras.optimizers.AdamW(
            recipe.rate, weight_decay=recipe.decay, global_clipnorm=1.0
        )
        model.compile(optimizer, list(losses), loss_weights=list(weights))
        optimizer.build(model.trainable_variables)
        self.average = [np.array(value) for value in model.get_weights()]

    def learn(self, number: int, inputs: Any, targets: Sequence[Any]) -> list[float]:
        """Take one step.

        Parameters
        ----------
        number : int
            Of the step.
        inputs : array
            A batch.
        targets : sequence of array
            One for each output.

        Returns
        -------
        list of float
            The weighted sum of the losses, then each of them.
        """
        self.model.optimizer.learning_rate = self._rate(number)
        losses = self.model.train_on_batch(inputs, list(targets))
        share = np.float32(1 - min(_AVERAGING, (1 + number) / (10 + number)))
        self.average = [
            kept + share * (now - kept)
            for kept, now in zip(self.average, self.model.get_weights(), strict=True)
        ]
        return [float(loss) for loss in np.atleast_1d(losses)]

    def _rate(self, number: int) -> float:
        rising = min(1.0, number / _RISING)
        falling = 0.5 * (1 + math.cos(math.pi * min(1.0, number / self._recipe.steps)))
        return self._recipe.rate * rising * (_LEAST + (1 - _LEAST) * falling)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[Any]:
        """Lend the model its averaged weights."""
        now = self.model.get_weights()
        self.model.set_weights(self.average)
        try:
            yield self.model
        finally:
            self.model.set_weights(now)

    def save(self, folder: Path) -> None:
        """Write weights, their average, and the optimizer."""
        state: dict[str, NDArray[Any]] = {}
        for name, values in self._parts().items():
            state |= {f"{name}_{index}": np.asarray(value) for index, value in enumerate(values)}
        np.savez(folder / _STATE, **state)  # type: ignore[arg-type]

    def restore(self, folder: Path) -> None:
        """Take up what `save` wrote."""
        with np.load(folder / _STATE) as kept:
            count = len(self.average)
            self.model.set_weights([kept[f"weight_{i}"] for i in range(count)])
            self.average = [kept[f"average_{i}"] for i in range(count)]
            for index, variable in enumerate(self.model.optimizer.variables):
                variable.assign(kept[f"optimizer_{index}"])

    def _parts(self) -> dict[str, Sequence[Any]]:
        return {
            "weight": self.model.get_weights(),
            "average": self.average,
            "optimizer": self.model.optimizer.variables,
        }


class StreamTraining:
    """Base of trainings of one Keras model on a stream of samples: all but what a step learns.

    Parameters
    ----------
    trained : TrainedModel
        The model.
    stream : SampleStream
        Its samples.
    """

    def __init__(self, trained: TrainedModel, stream: SampleStream) -> None:
        self._trained = trained
        self._stream = stream

    def save(self, folder: Path) -> None:
        """Write weights, their average, and the optimizer."""
        self._trained.save(folder)

    def restore(self, folder: Path) -> None:
        """Take up what `save` wrote."""
        self._trained.restore(folder)

    def close(self) -> None:
        """Stop the processes that simulate."""
        self._stream.close()
