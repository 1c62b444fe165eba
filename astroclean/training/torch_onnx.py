"""Write a PyTorch module as ONNX, its initializers named as in `state_dict`.

PyTorch's own exporter needs a package of its own, renames parameters and folds normalizations into
them; then the torch engine could not fill the architecture from the file again.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.errors import PluginError
from astroclean.inference.onnx_graph import OnnxGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["export_torch"]

_FLOAT = 1
"""ONNX's number for float32."""


def export_torch(
    module: Any, path: Path, *, inputs: Mapping[str, int], outputs: Mapping[str, int]
) -> None:
    """Write a module as an ONNX file, as it answers in evaluation.

    Parameters
    ----------
    module : torch.nn.Module
        Its ``forward`` takes images (n, channels, ny, nx) and is free of branches that depend on
        values. A layer of one's own may give ``to_onnx(graph, name, sources)``, which returns the
        names of its outputs; ``name`` is its path in the module.
    path : Path
        File to write.
    inputs : mapping of str to int
        Names of the inputs, in order, with their channels.
    outputs : mapping of str to int
        Names of the outputs, in order, with their channels.

    Raises
    ------
    PluginError
        A layer or an operation has no counterpart here.
    """
    graph = OnnxGraph()
    made = _walk(module, graph, list(inputs))
    for name, source in zip(outputs, made, strict=True):
        graph.answer(name, source)
    graph.write(
        path,
        name=type(module).__name__,
        inputs={name: ("n", channels, "ny", "nx") for name, channels in inputs.items()},
        outputs={n: ("n", channels, f"ny_{n}", f"nx_{n}") for n, channels in outputs.items()},
    )


def _walk(module: Any, graph: OnnxGraph, names: list[str]) -> list[str]:
    """Write every operation of a module; return the names of its outputs."""
    from torch import fx  # noqa: PLC0415 - only where networks are written

    class Tracer(fx.Tracer):  # type: ignore[misc]  # torch is untyped
        def is_leaf_module(self, layer: Any, name: str) -> bool:
            return hasattr(layer, "to_onnx") or super().is_leaf_module(layer, name)

    made: dict[Any, Any] = {}
    waiting = iter(names)
    for node in Tracer().trace(module).nodes:
        operands = fx.node.map_arg(node.args, made.__getitem__)
        if node.op == "placeholder":
            made[node] = next(waiting)
        elif node.op == "call_module":
            made[node] = _layer(graph, module.get_submodule(node.target), node.target, operands)
        elif node.op == "get_attr":
            values = operator.attrgetter(node.target)(module).detach().cpu().numpy()
            made[node] = graph.parameter(node.target, values)
        elif node.op == "output":
            ends = operands[0]
        else:
            made[node] = _operation(graph, node, operands)
    return list(ends) if isinstance(ends, (list, tuple)) else [ends]


def _layer(graph: OnnxGraph, layer: Any, name: str, sources: Sequence[Any]) -> Any:
    if hasattr(layer, "to_onnx"):
        return layer.to_onnx(graph, name, list(sources))
    converter = _LAYERS.get(type(layer).__name__)
    if converter is None:
        raise PluginError(
            "a layer of this class cannot be written as ONNX",
            where=f"layer '{name}'",
            received=type(layer).__name__,
            remedy="Give it a method `to_onnx(graph, name, sources)`.",
        )
    return converter(graph, layer, name, sources[0])


def _operation(graph: OnnxGraph, node: Any, operands: Sequence[Any]) -> Any:
    name = getattr(node.target, "__name__", str(node.target))
    if name == "getitem":
        return operands[0][operands[1]]
    if name == "cat":
        axis = operands[1] if len(operands) > 1 else node.kwargs.get("dim", 0)
        return graph.add("Concat", *operands[0], axis=axis)
    known = _OPERATIONS.get(name)
    if known is None or node.kwargs:
        raise PluginError(
            "an operation that cannot be written as ONNX",
            where=f"node '{node.name}' of the network",
            received=f"{name}, {dict(node.kwargs)}",
            remedy="Put it into a layer with a method `to_onnx(graph, name, sources)`.",
        )
    return graph.add(known, *(_operand(graph, value) for value in operands))


def _operand(graph: OnnxGraph, value: Any) -> str:
    return value if isinstance(value, str) else graph.constant(float(value))


def _parameters(graph: OnnxGraph, layer: Any, name: str, keys: Sequence[str]) -> list[str]:
    found = [(key, getattr(layer, key)) for key in keys]
    return [
        graph.parameter(f"{name}.{key}", np.asarray(values.detach().cpu(), dtype=np.float32))
        for key, values in found
        if values is not None
    ]


def _convolution(graph: OnnxGraph, layer: Any, name: str, source: str) -> str:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise PluginError(
            "only padding by a number of zeros can be written as ONNX",
            where=f"layer '{name}'",
            received=f"{layer.padding_mode}, {layer.padding}",
        )
    more = {"output_padding": list(layer.output_padding)} if layer.transposed else {}
    return graph.add(
        "ConvTranspose" if layer.transposed else "Conv",
        source,
        *_parameters(graph, layer, name, ("weight", "bias")),
        strides=list(layer.stride),
        pads=2 * list(layer.padding),
        dilations=list(layer.dilation),
        group=layer.groups,
        **more,
    )


def _normalization(graph: OnnxGraph, layer: Any, name: str, source: str) -> str:
    keys = ("weight", "bias", "running_mean", "running_var")
    fed = _parameters(graph, layer, name, keys)
    return graph.add("BatchNormalization", source, *fed, epsilon=layer.eps)


_LAYERS: dict[str, Callable[[OnnxGraph, Any, str, str], str]] = {
    "BatchNorm2d": _normalization,
    "Conv2d": _convolution,
    "ConvTranspose2d": _convolution,
    "Dropout": lambda graph, layer, name, source: source,  # noqa: ARG005 - nothing at inference
    "Identity": lambda graph, layer, name, source: source,  # noqa: ARG005
    "LeakyReLU": lambda graph, layer, name, source: graph.add(  # noqa: ARG005
        "LeakyRelu", source, alpha=layer.negative_slope
    ),
    "PixelShuffle": lambda graph, layer, name, source: graph.add(  # noqa: ARG005
        "DepthToSpace", source, blocksize=layer.upscale_factor, mode="CRD"
    ),
    "ReLU": lambda graph, layer, name, source: graph.add("Relu", source),  # noqa: ARG005
    "Sigmoid": lambda graph, layer, name, source: graph.add("Sigmoid", source),  # noqa: ARG005
    "Softplus": lambda graph, layer, name, source: graph.add("Softplus", source),  # noqa: ARG005
    "Tanh": lambda graph, layer, name, source: graph.add("Tanh", source),  # noqa: ARG005
}
_OPERATIONS = {
    "add": "Add",
    "mul": "Mul",
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "sub": "Sub",
    "tanh": "Tanh",
    "truediv": "Div",
}
