"""Layers that Keras lacks: dynamic compression, pooling that remembers where, and its reverse."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

__all__ = ["Arcsinh", "ArgMaxPool", "ArgMaxUnpool", "BinnedLight"]

_INT64 = "int64"
_BELOW = -1e30
"""Padding that is never the greatest."""


@keras.saving.register_keras_serializable("astroclean")
class Arcsinh(layers.Layer):  # type: ignore[misc]  # Keras is untyped
    """Dynamic compression (paper, section 2.3.3): linear in the noise, else logarithmic."""

    def call(self, inputs: Any) -> Any:
        """Return arcsinh of sky-subtracted values in units of the noise."""
        # In float32: in bfloat16 a bright star would lose the slopes by which hits are told.
        return ops.arcsinh(ops.cast(inputs, "float32"))

    def to_onnx(self, graph: Any, inputs: list[str]) -> list[str]:
        """Return the same in ONNX."""
        return [_arcsinh(graph, *inputs)]


def _arcsinh(graph: Any, values: str) -> str:
    # Not Asinh: log(x + sqrt(x^2 + 1)), as engines compute it, cancels where x is negative.
    size = graph.add("Abs", values)
    squared = graph.add("Add", graph.add("Mul", size, size), graph.constant(1.0))
    bent = graph.add("Log", graph.add("Add", size, graph.add("Sqrt", squared)))
    return str(graph.add("Mul", graph.add("Sign", values), bent))


@keras.saving.register_keras_serializable("astroclean")
class LightAndDetail(layers.Layer):  # type: ignore[misc]  # Keras is untyped
    """Dynamic compression of the light, and of how a pixel differs from its eight neighbors.

    Compression makes the flank of a bright star flat. The difference, taken before it, keeps what
    is sharper than any star: hits, hot and dead pixels.
    """

    def call(self, inputs: Any) -> Any:
        """Return (n, ny, nx, 2): arcsinh of the values, and of their differences."""
        light = ops.cast(inputs, "float32")
        padded = ops.pad(light, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
        mean = ops.average_pool(padded, 3, strides=1, padding="valid")
        # The mean of nine has the pixel itself in it.
        detail = (light - mean) * (9.0 / 8.0)
        return ops.concatenate([ops.arcsinh(light), ops.arcsinh(detail)], axis=-1)

    def to_onnx(self, graph: Any, inputs: list[str]) -> list[str]:
        """Return the same in ONNX."""
        pads = graph.constant([0, 0, 1, 1, 0, 0, 1, 1], _INT64)
        padded = graph.add("Pad", inputs[0], pads, mode="reflect")
        mean = graph.add("AveragePool", padded, kernel_shape=[3, 3])
        differs = graph.add("Sub", inputs[0], mean)
        detail = graph.add("Mul", differs, graph.constant(9.0 / 8.0))
        parts = [_arcsinh(graph, inputs[0]), _arcsinh(graph, detail)]
        return [graph.add("Concat", *parts, axis=1)]


@keras.saving.register_keras_serializable("astroclean")
class BinnedLight(layers.Layer):  # type: ignore[misc]  # Keras is untyped
    """Dynamic compression of binned pixels, in units of the noise of a bin.

    What is large is faint in single pixels: a trail or a fringe of half the noise stands out of it
    where 4 x 4 pixels are averaged.

    Parameters
    ----------
    factor : int
        Pixels along a side of a bin.
    """

    def __init__(self, factor: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._factor = factor

    def get_config(self) -> dict[str, Any]:
        """Return what a copy is built from."""
        return {**super().get_config(), "factor": self._factor}

    def call(self, inputs: Any) -> Any:
        """Return (n, ny / factor, nx / factor, 1)."""
        light = ops.cast(inputs, "float32")
        binned = ops.average_pool(light, self._factor, strides=self._factor, padding="valid")
        return ops.arcsinh(binned * self._factor)

    def to_onnx(self, graph: Any, inputs: list[str]) -> list[str]:
        """Return the same in ONNX."""
        side = [self._factor, self._factor]
        binned = graph.add("AveragePool", inputs[0], kernel_shape=side, strides=side)
        return [_arcsinh(graph, graph.add("Mul", binned, graph.constant(float(self._factor))))]


@keras.saving.register_keras_serializable("astroclean")
class ArgMaxPool(layers.Layer):  # type: ignore[misc]  # Keras is untyped
    """Maximum of 2 x 2 pixels, and which of the four it was (paper, figure 9).

    Odd sides round up. The first of equal pixels counts, as in TensorFlow.
    """

    def call(self, inputs: Any) -> tuple[Any, Any]:
        """Return (n, ny / 2, nx / 2, c) maxima and int32 places 0 to 3, row by row."""
        # A pixel more on each side lets odd and even sides take the same slices.
        padded = ops.pad(inputs, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=_BELOW)
        corners = [
            padded[:, 0:-1:2, 0:-1:2],
            padded[:, 0:-1:2, 1::2],
            padded[:, 1::2, 0:-1:2],
            padded[:, 1::2, 1::2],
        ]
        stacked = ops.stack(corners, axis=-1)
        return ops.max(stacked, axis=-1), ops.cast(ops.argmax(stacked, axis=-1), "int32")

    def to_onnx(self, graph: Any, inputs: list[str]) -> list[str]:
        """Return the same in ONNX, of operators that OpenVINO has."""
        pads = graph.constant([0, 0, 0, 0, 0, 0, 1, 1], _INT64)
        padded = graph.add("Pad", inputs[0], pads, graph.constant(_BELOW))
        last = 2**31 - 1
        ends = {0: -1, 1: last}
        corners = []
        for row in (0, 1):
            for column in (0, 1):
                bounds = [[row, column], [ends[row], ends[column]], [2, 3], [2, 2]]
                fed = [graph.constant(values, _INT64) for values in bounds]
                corners.append(graph.add("Slice", padded, *fed))
        greatest = graph.add("Max", *corners)
        # Not ArgMax: engines differ in which of equal pixels it names, and most are equally zero.
        place = graph.constant(3)
        for index in (2, 1, 0):
            here = graph.add("Equal", corners[index], greatest)
            place = graph.add("Where", here, graph.constant(index), place)
        return [greatest, place]


@keras.saving.register_keras_serializable("astroclean")
class ArgMaxUnpool(layers.Layer):  # type: ignore[misc]  # Keras is untyped
    """Puts each value back where the maximum was; zero elsewhere (paper, figure 9)."""

    def call(self, inputs: tuple[Any, Any, Any]) -> Any:
        """Return values on the grid of the third input; the second tells their places."""
        values, places, like = inputs
        parts = [values * ops.cast(places == place, values.dtype) for place in range(4)]
        rows = [ops.stack(parts[k : k + 2], axis=3) for k in (0, 2)]
        n, ny, nx, channels = ops.shape(values)
        blocks = ops.stack(rows, axis=2)  # n, ny, 2, nx, 2, channels
        fine = ops.reshape(blocks, (n, 2 * ny, 2 * nx, channels))
        return fine[:, : ops.shape(like)[1], : ops.shape(like)[2]]

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """Return the grid of the third input with the channels of the first."""
        return (*input_shape[2][:3], input_shape[0][3])

    def to_onnx(self, graph: Any, inputs: list[str]) -> list[str]:
        """Return the same in ONNX, of operators that OpenVINO has."""
        values, places, like = inputs
        parts = []
        for place in range(4):
            here = graph.add("Equal", places, graph.constant(place))
            parts.append(graph.add("Mul", values, graph.add("Cast", here, to=1)))
        fine = graph.add("DepthToSpace", graph.add("Concat", *parts, axis=1), blocksize=2)
        grid = graph.add("Shape", like, start=2, end=4)
        zero = graph.constant([0, 0], _INT64)
        return [graph.add("Slice", fine, zero, grid, graph.constant([2, 3], _INT64))]
