"""The network of the paper in Keras 3: one encoder, two decoders with fast attention.

Hausen & Robertson (2021), section 3.2 and figure 1; fast attention: Hu et al. (2020). Widths and
dropout are those recovered from the authors' settings.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

__all__ = ["INPUT", "MULTIPLE", "OUTPUTS", "FastAttention", "build_paper"]

INPUT = "pixels"
OUTPUTS = ("center", "vectors", "maps")
"""In the order in which the network gives them."""
_WIDTHS = (8, 16, 32, 32)
"""Filters at 1/2, 1/4, 1/8 and 1/16 of the resolution."""
MULTIPLE = 2 ** len(_WIDTHS)
"""Sides of the input are multiples of this."""
_MIXED = 32
"""Filters of the last convolution before each head."""
_DROPPED = 0.1
_LEAST = 1e-6
"""Least length of queries and keys: a vector of zeros has no direction."""
_INT64 = "int64"


@keras.saving.register_keras_serializable("astroclean")
class FastAttention(layers.Layer):  # type: ignore[misc]  # Keras is untyped
    """Attention by cosines of queries and keys, without a softmax (Hu et al. 2020, equation 3).

    Its cost grows with the number of pixels, not with its square: keys and values are multiplied
    first. Each pixel sees the whole image.
    """

    def call(self, inputs: tuple[Any, Any, Any]) -> Any:
        """Return (n, ny, nx, channels of the values) from queries, keys and values."""
        query, key, value = (ops.cast(part, "float32") for part in inputs)
        seen = ops.einsum("bijc,bijd->bcd", _directions(key), value)
        _, ny, nx, _ = ops.shape(value)
        answer = ops.einsum("bijc,bcd->bijd", _directions(query), seen)
        return answer / ops.cast(ny * nx, "float32")

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """Return the shape of the values."""
        return tuple(input_shape[2])

    def to_onnx(self, graph: Any, inputs: list[str]) -> list[str]:
        """Return the same in ONNX; images are (n, channels, ny, nx) there."""
        flat = graph.constant([0, 0, -1], _INT64)
        query, key, value = (graph.add("Reshape", part, flat) for part in inputs)
        query, key = (_onnx_directions(graph, part) for part in (query, key))
        seen = graph.add("MatMul", value, graph.add("Transpose", key, perm=[0, 2, 1]))
        answer = graph.add("MatMul", seen, query)
        count = graph.add("Cast", graph.add("Shape", value, start=2, end=3), to=1)
        answer = graph.add("Div", answer, count)
        return [graph.add("Reshape", answer, graph.add("Shape", inputs[2]))]


def _directions(vectors: Any) -> Any:
    squares = ops.sum(ops.square(vectors), axis=-1, keepdims=True)
    # The root of 0 has no slope.
    return vectors / ops.sqrt(ops.maximum(squares, _LEAST**2))


def _onnx_directions(graph: Any, vectors: str) -> str:
    length = graph.add("ReduceL2", vectors, axes=[1], keepdims=1)
    return str(graph.add("Div", vectors, graph.add("Max", length, graph.constant(_LEAST))))


def build_paper(sources: int = 3, *, logits: bool = False) -> keras.Model:
    """Return the network of the paper, fully convolutional.

    Parameters
    ----------
    sources : int
        Sources of a pixel in the contributions.
    logits : bool
        Whether the maps are what their softmax is taken of, for the loss.

    Returns
    -------
    keras.Model
        (n, ny, nx, 1) pixels to the center-of-mass image (n, ny, nx, 1), vectors (n, ny, nx, 2
        ``sources``), (y, x) of the first source, then of the others, in pixels, and contribution
        maps (n, ny, nx, ``sources``). Sides are multiples of 16. The answer of a pixel depends on
        the whole image, by the attention.
    """
    pixels = keras.Input((None, None, 1), name=INPUT)
    tensor, levels = pixels, []
    for level, width in enumerate(_WIDTHS):
        tensor = _residual(tensor, width, f"down{level}", stride=2)
        tensor = _residual(tensor, width, f"deep{level}")
        levels.append(tensor)
    spatial = _decoded(levels, "spatial")
    attribution = _decoded(levels, "attribution")
    answers = [
        _head(spatial, 1, "center", activation="sigmoid"),
        _head(spatial, 2 * sources, "vectors"),
        _head(attribution, sources, "maps"),
    ]
    if not logits:
        answers[-1] = layers.Softmax(dtype="float32", name="shares")(answers[-1])
    return keras.Model(pixels, answers, name="pais_paper")


def _residual(tensor: Any, width: int, name: str, *, stride: int = 1) -> Any:
    """Return two convolutions added to what they began with, on a coarser grid where strided."""
    made = _even(_convolve(tensor, width, f"{name}_conv0", strides=stride), f"{name}_even0")
    made = layers.ReLU(name=f"{name}_bent0")(layers.Dropout(_DROPPED, name=f"{name}_drop0")(made))
    made = _even(_convolve(made, width, f"{name}_conv1"), f"{name}_even1")
    made = layers.Dropout(_DROPPED, name=f"{name}_drop1")(made)
    if stride > 1:
        tensor = _convolve(tensor, width, f"{name}_short", strides=stride)
    added = layers.Add(name=f"{name}_sum")([tensor, made])
    return layers.ReLU(name=f"{name}_bent1")(added)


def _decoded(levels: list[Any], name: str) -> Any:
    """Return features at full resolution, fused from the coarsest level upwards."""
    fused = None
    for level in reversed(range(len(levels))):
        attended = _attended(levels[level], _WIDTHS[level], f"{name}{level}")
        if fused is not None:
            finer = layers.UpSampling2D(2, name=f"{name}{level}_finer")(fused)
            finer = layers.ReLU(name=f"{name}{level}_bent")(finer)
            finer = layers.Dropout(_DROPPED, name=f"{name}{level}_drop")(finer)
            attended = layers.Add(name=f"{name}{level}_sum")([finer, attended])
        width = _WIDTHS[max(level - 1, 0)]
        convolved = _convolve(attended, width, f"{name}{level}_fuse")
        fused = _even(convolved, f"{name}{level}_fuse_even")
    return layers.UpSampling2D(2, name=f"{name}_full")(fused)


def _attended(tensor: Any, width: int, name: str) -> Any:
    """Return values, with what the whole image adds to them."""
    query, key, value = (
        _even(layers.Conv2D(width, 1, name=f"{name}_{part}")(tensor), f"{name}_{part}_even")
        for part in ("query", "key", "value")
    )
    bent = layers.ReLU(name=f"{name}_value_bent")(value)
    attention = FastAttention(dtype="float32", name=f"{name}_attention")([query, key, bent])
    made = _even(_convolve(attention, width, f"{name}_mix"), f"{name}_mix_even")
    return layers.Add(name=f"{name}_attended")([value, layers.ReLU(name=f"{name}_mix_bent")(made)])


def _head(tensor: Any, channels: int, name: str, **settings: Any) -> Any:
    mixed = layers.Conv2D(_MIXED, 5, padding="same", name=f"{name}_last")(tensor)
    return layers.Conv2D(channels, 1, dtype="float32", name=name, **settings)(mixed)


def _convolve(tensor: Any, width: int, name: str, **settings: Any) -> Any:
    return layers.Conv2D(width, 3, padding="same", name=name, **settings)(tensor)


def _even(tensor: Any, name: str) -> Any:
    return layers.BatchNormalization(name=name)(tensor)
