"""Write a Keras model as ONNX, its initializers named as its variables.

Keras' own export goes through the converter of a backend, which renames and reshapes parameters;
then the Keras engine could not fill the architecture from the file again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.errors import PluginError
from astroclean.inference.onnx_graph import OnnxGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


__all__ = ["export_keras"]

_IMAGE_AXES = 4
# Keras keeps kernels as (y, x, in, out), ONNX as (out, in, y, x).
_KERNEL_TO_ONNX = (3, 2, 0, 1)
_TO_NHWC = [0, 2, 3, 1]
_ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softplus": "Softplus"}
_HISTORY = "keras_history"


def export_keras(
    model: Any, path: Path, *, inputs: Mapping[str, int], outputs: Sequence[str]
) -> None:
    """Write a functional Keras model (channels last) as an ONNX file (channels first).

    Parameters
    ----------
    model : keras.Model
        Functional; each layer is used once. A layer of one's own gives
        ``to_onnx(graph, inputs)``, which returns the names of its outputs.
    path : Path
        File to write.
    inputs : mapping of str to int
        Names of the inputs, in order, with their channels.
    outputs : sequence of str
        Names of the outputs, in order.

    Raises
    ------
    PluginError
        A layer has no counterpart here.
    """
    graph = OnnxGraph()
    walk = _Walk(model, graph, list(inputs))
    for name, source in zip(outputs, walk.outputs(), strict=True):
        graph.answer(name, source)
    graph.write(
        path,
        name=model.name,
        inputs={name: ("n", channels, "ny", "nx") for name, channels in inputs.items()},
        outputs={n: _shape(n, t) for n, t in zip(outputs, model.outputs, strict=True)},
    )


def _shape(name: str, tensor: Any) -> list[int | str]:
    grid = [f"ny_{name}", f"nx_{name}"] if len(tensor.shape) == _IMAGE_AXES else []
    return ["n", int(tensor.shape[-1]), *grid]


class _Walk:
    """Goes through the layers of a model, each after those that feed it."""

    def __init__(self, model: Any, graph: OnnxGraph, names: list[str]) -> None:
        config = model.get_config()
        self._layers = {entry["name"]: entry for entry in config["layers"]}
        self._model = model
        self._graph = graph
        self._made: dict[str, list[str]] = {}
        for history, name in zip(_histories(config["input_layers"]), names, strict=True):
            self._made[history[0]] = [name]
        self._ends = _histories(config["output_layers"])

    def outputs(self) -> list[str]:
        return [self._tensor(history) for history in self._ends]

    def _tensor(self, history: tuple[str, int, int]) -> str:
        name, _, index = history
        if name not in self._made:
            feeding = _feeding(self._layers[name])
            sources = [self._tensor(source) for source in feeding]
            self._made[name] = _converted(self._graph, self._model.get_layer(name), sources)
        return self._made[name][index]


def _histories(found: Any) -> list[tuple[str, int, int]]:
    """Return (layer, use, output) for what Keras writes as one or as a list of them."""
    if found and isinstance(found[0], str):
        found = [found]
    return [(str(name), int(use), int(index)) for name, use, index in found]


def _feeding(entry: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """Return where the inputs of a layer come from."""
    uses = entry["inbound_nodes"]
    if len(uses) != 1:
        raise PluginError(
            "a layer that is used more than once cannot be written as ONNX",
            where=f"layer '{entry['name']}'",
        )
    found: list[Any] = []
    waiting: list[Any] = [uses[0]["args"]]
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, dict) and _HISTORY in item.get("config", {}):
            found.append(item["config"][_HISTORY])
        elif isinstance(item, (list, tuple)):
            waiting = [*item, *waiting]
    return _histories(found)


def _converted(graph: OnnxGraph, layer: Any, sources: list[str]) -> list[str]:
    if hasattr(layer, "to_onnx"):
        return list(layer.to_onnx(graph, sources))
    converter = _CONVERTERS.get(type(layer).__name__)
    if converter is None:
        raise PluginError(
            "a layer of this class cannot be written as ONNX",
            where=f"layer '{layer.name}'",
            received=type(layer).__name__,
            remedy="Give it a method `to_onnx(graph, inputs)`.",
        )
    return [converter(graph, layer, sources)]


def _parameter(graph: OnnxGraph, variable: Any, axes: tuple[int, ...] | None = None) -> str:
    values = np.asarray(variable, dtype=np.float32)
    return graph.parameter(variable.path, values if axes is None else values.transpose(axes))


def _activated(graph: OnnxGraph, layer: Any, source: str) -> str:
    name = layer.activation.__name__
    if name == "linear":
        return source
    if name not in _ACTIVATIONS:
        raise PluginError(
            "an activation that cannot be written as ONNX",
            where=f"layer '{layer.name}'",
            received=name,
        )
    return graph.add(_ACTIVATIONS[name], source)


def _convolution(graph: OnnxGraph, layer: Any, sources: list[str]) -> str:
    fed = [sources[0], _parameter(graph, layer.kernel, _KERNEL_TO_ONNX)]
    if layer.use_bias:
        fed.append(_parameter(graph, layer.bias))
    made = graph.add(
        "Conv",
        *fed,
        **_padding(layer, layer.kernel_size, layer.dilation_rate),
        strides=list(layer.strides),
        dilations=list(layer.dilation_rate),
    )
    return _activated(graph, layer, made)


def _transposed(graph: OnnxGraph, layer: Any, sources: list[str]) -> str:
    if any(n != 1 for n in (*layer.strides, *layer.dilation_rate)) or layer.padding != "same":
        raise PluginError(
            "a transposed convolution with strides, dilation or cut borders cannot be written as "
            "ONNX",
            where=f"layer '{layer.name}'",
        )
    # Kernels are (y, x, out, in) in Keras, (in, out, y, x) in ONNX: the same change of axes.
    fed = [sources[0], _parameter(graph, layer.kernel, _KERNEL_TO_ONNX)]
    if layer.use_bias:
        fed.append(_parameter(graph, layer.bias))
    # What TensorFlow cuts in front is what the convolution would add there.
    reach = [side - 1 for side in layer.kernel_size]
    pads = [n // 2 for n in reach] + [n - n // 2 for n in reach]
    return _activated(graph, layer, graph.add("ConvTranspose", *fed, pads=pads))


def _dense(graph: OnnxGraph, layer: Any, sources: list[str]) -> str:
    made = graph.add("MatMul", sources[0], _parameter(graph, layer.kernel))
    if layer.use_bias:
        made = graph.add("Add", made, _parameter(graph, layer.bias))
    return _activated(graph, layer, made)


def _pooling(graph: OnnxGraph, layer: Any, sources: list[str]) -> str:
    return graph.add(
        "MaxPool",
        sources[0],
        kernel_shape=list(layer.pool_size),
        strides=list(layer.strides),
        **_padding(layer, layer.pool_size, (1, 1)),
    )


def _padding(layer: Any, size: Sequence[int], dilation: Sequence[int]) -> dict[str, Any]:
    """Return the padding of a layer; with strides it depends on the size of the image."""
    if layer.padding == "valid":
        return {"auto_pad": "VALID"}
    if tuple(layer.strides) != (1, 1):
        return {"auto_pad": "SAME_UPPER"}
    # onnxruntime refuses SAME_UPPER for dilated kernels.
    reach = [step * (side - 1) for side, step in zip(size, dilation, strict=True)]
    return {"pads": [n // 2 for n in reach] + [n - n // 2 for n in reach]}


def _upsampling(graph: OnnxGraph, layer: Any, sources: list[str]) -> str:
    modes = {"nearest": "nearest", "bilinear": "linear"}
    places = {"nearest": "asymmetric", "bilinear": "half_pixel"}
    rounding = {"nearest_mode": "floor"} if layer.interpolation == "nearest" else {}
    return graph.add(
        "Resize",
        sources[0],
        "",
        graph.constant([1.0, 1.0, *map(float, layer.size)]),
        mode=modes[layer.interpolation],
        coordinate_transformation_mode=places[layer.interpolation],
        **rounding,
    )


def _flatten(graph: OnnxGraph, layer: Any, sources: list[str]) -> str:  # noqa: ARG001 - a converter
    # Keras counts channels fastest.
    return graph.add("Flatten", graph.add("Transpose", sources[0], perm=_TO_NHWC))


def _prelu(graph: OnnxGraph, layer: Any, sources: list[str]) -> str:
    slope = _parameter(graph, layer.alpha)
    if len(layer.alpha.shape) > 1:
        slope = graph.add("Transpose", slope, perm=[2, 0, 1])
    return graph.add("PRelu", sources[0], slope)


def _normalization(graph: OnnxGraph, layer: Any, sources: list[str]) -> str:
    count = int(layer.moving_mean.shape[0])
    scale = _parameter(graph, layer.gamma) if layer.scale else graph.constant(np.ones(count))
    shift = _parameter(graph, layer.beta) if layer.center else graph.constant(np.zeros(count))
    statistics = [_parameter(graph, part) for part in (layer.moving_mean, layer.moving_variance)]
    return graph.add(
        "BatchNormalization", sources[0], scale, shift, *statistics, epsilon=layer.epsilon
    )


def _sum(graph: OnnxGraph, layer: Any, sources: list[str]) -> str:  # noqa: ARG001 - a converter
    made = sources[0]
    for source in sources[1:]:
        made = graph.add("Add", made, source)
    return made


_CONVERTERS: dict[str, Callable[[OnnxGraph, Any, list[str]], str]] = {
    "Activation": lambda graph, layer, sources: _activated(graph, layer, sources[0]),
    "Add": _sum,
    "BatchNormalization": _normalization,
    "Concatenate": lambda graph, layer, sources: graph.add("Concat", *sources, axis=1),  # noqa: ARG005
    "Conv2D": _convolution,
    "Conv2DTranspose": _transposed,
    "Dense": _dense,
    "Dropout": lambda graph, layer, sources: sources[0],  # noqa: ARG005 - nothing at inference
    "Flatten": _flatten,
    "GlobalAveragePooling2D": lambda graph, layer, sources: graph.add(  # noqa: ARG005
        "ReduceMean", sources[0], axes=[2, 3], keepdims=0
    ),
    "GlobalMaxPooling2D": lambda graph, layer, sources: graph.add(  # noqa: ARG005
        "ReduceMax", sources[0], axes=[2, 3], keepdims=0
    ),
    "LeakyReLU": lambda graph, layer, sources: graph.add(
        "LeakyRelu", sources[0], alpha=layer.negative_slope
    ),
    "MaxPooling2D": _pooling,
    "PReLU": _prelu,
    "ReLU": lambda graph, layer, sources: graph.add("Relu", sources[0]),  # noqa: ARG005
    "Softmax": lambda graph, layer, sources: graph.add("Softmax", sources[0], axis=1),  # noqa: ARG005
    "UpSampling2D": _upsampling,
}
