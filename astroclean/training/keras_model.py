"""What every training of a Keras model shares: averaged weights, checkpoints."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.errors import ConfigurationError
from astroclean.training.network import (
    NetworkRecipe,
    StreamTraining,
    averaging_share,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["KerasRecipe", "StreamTraining", "TrainedModel", "begin_with", "built"]

_KERNEL_AXES = (2, 3, 1, 0)
"""ONNX has kernels as (out, in, y, x), Keras as (y, x, in, out)."""
_STATE = "state.npz"


class KerasRecipe(NetworkRecipe):
    """Settings of every training of a Keras model."""


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
    from astroclean.inference.engines.initializers import read_initializers  # noqa: PLC0415 - onnx

    if not weights.is_file():
        raise ConfigurationError(f"start: there is no file {weights}")
    known = read_initializers(weights)
    filled = 0
    # Statistics and layers that are not trained, too.
    for variable in model.variables:
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
        self.model.optimizer.learning_rate = self._recipe.rate_at(number)
        losses = self.model.train_on_batch(inputs, list(targets))
        share = np.float32(averaging_share(number))
        self.average = [
            kept + share * (now - kept)
            for kept, now in zip(self.average, self.model.get_weights(), strict=True)
        ]
        return [float(loss) for loss in np.atleast_1d(losses)]

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
            for index, variable in enumerate(self._chance()):
                variable.assign(kept[f"chance_{index}"])

    def _chance(self) -> list[Any]:
        """Return the states of random generators, such as those of dropout: no weights."""
        weights = {id(variable) for variable in self.model.weights}
        others = self.model.non_trainable_variables
        return [v for v in others if id(v) not in weights and "seed_generator" in v.path]

    def _parts(self) -> dict[str, Sequence[Any]]:
        return {
            "weight": self.model.get_weights(),
            "average": self.average,
            "optimizer": self.model.optimizer.variables,
            "chance": self._chance(),
        }
