"""The engine of Keras 3: a plugin's own architecture, filled from the ONNX file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from astroclean.inference.cards.card import foreign_code
from astroclean.inference.engines.engine import EngineError, EngineUnfitError
from astroclean.inference.engines.initializers import (
    build_network,
    match_parameters,
    read_initializers,
)
from astroclean.inference.engines.tensors import checked_inputs, checked_outputs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from astroclean.inference.cards.card import NetworkCard
    from astroclean.inference.engines.engine import EngineSettings

__all__ = ["KerasEngine", "fill_model"]

_KERNEL_AXES = 4
# Keras keeps kernels as (y, x, in, out), ONNX as (out, in, y, x); transposed convolutions as
# (y, x, out, in) and (in, out, y, x). One permutation serves both.
_TO_KERAS = (2, 3, 1, 0)
_TO_ONNX = (3, 2, 0, 1)
_CHANNELS_LAST = (0, 2, 3, 1)
_CHANNELS_FIRST = (0, 3, 1, 2)


class KerasEngine:
    """Runs the model of ``card.network.keras``; opened with :meth:`open`."""

    name: str = "keras"
    libraries: ClassVar[tuple[str, ...]] = ("keras", "onnx")
    extra: ClassVar[str] = "astroclean[keras]"
    parallel: int = 1

    def __init__(self, card: NetworkCard, model: Any, *, device: str) -> None:
        self.device = device
        self.precision: str = "f32"
        self._card = card
        self._model = model
        self._is_last = card.network.keras_layout == "nhwc"

    @classmethod
    def unfit(cls, card: NetworkCard, settings: EngineSettings) -> str | None:
        """Return why this engine cannot run the network, or None."""
        if not card.network.keras:
            return "the card names no Keras architecture"
        if settings.precision != "f32":
            return f"computes in f32, not in {settings.precision}"
        return foreign_code(card, card.network.keras)

    @classmethod
    def open(cls, card: NetworkCard, weights: Path, settings: EngineSettings) -> Self:
        """Build the architecture and fill it.

        Parameters
        ----------
        card : NetworkCard
            The network.
        weights : Path
            ONNX file whose initializers are named as the ``path`` of Keras' variables.
        settings : EngineSettings
            ``device`` must be ``auto``: Keras' own settings choose it. The number of threads holds
            for the process.

        Returns
        -------
        KerasEngine
            Ready.

        Raises
        ------
        EngineError
            Architecture and weights do not match, or threads cannot be set any more.
        """
        import keras  # noqa: PLC0415 - only where it is used

        backend = keras.backend.backend()
        if settings.device != "auto":
            raise EngineError(f"device {settings.device}: leave 'auto', Keras chooses it")
        _set_threads(backend, settings.threads)
        model = build_network(card, str(card.network.keras))
        fill_model(model, weights, constants=card.network.constants)
        return cls(card, model, device=str(keras.distribution.list_devices()[0]))

    def infer(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Return the outputs of one batch; see `Engine.infer`."""
        import keras  # noqa: PLC0415 - only where it is used

        fed = [
            keras.ops.convert_to_tensor(
                np.ascontiguousarray(value.transpose(_CHANNELS_LAST) if self._is_last else value)
            )
            for value in checked_inputs(self._card, inputs).values()
        ]
        try:
            answers = self._model(fed[0] if len(fed) == 1 else fed, training=False)
        except Exception as error:  # each backend has its own exceptions
            raise EngineError(
                f"keras failed: {error}", where=f"network '{self._card.name}'"
            ) from error
        return checked_outputs(self._card, answers, self._converted)

    def _converted(self, tensor: Any) -> NDArray[np.float32]:
        import keras  # noqa: PLC0415 - only where it is used

        array = np.asarray(keras.ops.convert_to_numpy(tensor), dtype=np.float32)
        if self._is_last and array.ndim == _KERNEL_AXES:
            array = array.transpose(_CHANNELS_FIRST)
        return np.ascontiguousarray(array)

    def close(self) -> None:
        """Give the model's memory back."""
        self._model = None


def fill_model(model: Any, weights: Path, *, constants: tuple[str, ...] = ()) -> None:
    """Fill a `keras.Model` from the initializers of an ONNX file, by name.

    Parameters
    ----------
    model : keras.Model
        Modified in place.
    weights : Path
        ONNX file: kernels of convolutions in ONNX's order of axes, others as Keras has them.
    constants : tuple of str
        Initializers with two or more axes that are no parameters.

    Raises
    ------
    EngineError
        Names or shapes do not match.
    """
    variables = {
        variable.path: variable
        for variable in model.variables
        if np.issubdtype(np.dtype(str(variable.dtype)), np.floating)
    }
    shapes = {
        name: _permuted(tuple(variable.shape), _TO_ONNX) for name, variable in variables.items()
    }
    matched = match_parameters(shapes, read_initializers(weights), constants=constants)
    for name, array in matched.items():
        axes = _TO_KERAS if array.ndim == _KERNEL_AXES else range(array.ndim)
        variables[name].assign(array.transpose(*axes))


def _permuted(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in axes) if len(shape) == _KERNEL_AXES else shape


def _set_threads(backend: str, threads: int) -> None:
    if backend == "torch":
        import torch  # noqa: PLC0415 - only where it is used

        torch.set_num_threads(threads)
    elif backend == "tensorflow":
        import tensorflow as tf  # noqa: PLC0415 - only where it is used

        pools = tf.config.threading
        if pools.get_intra_op_parallelism_threads() == threads:
            return
        try:
            pools.set_intra_op_parallelism_threads(threads)
            pools.set_inter_op_parallelism_threads(1)
        except RuntimeError as error:
            raise EngineUnfitError(
                f"TensorFlow already runs with another number of threads than {threads}"
            ) from error
