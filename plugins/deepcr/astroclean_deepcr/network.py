"""The U-Net of deepCR as ONNX, from the parameters of its trained form."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.errors import PluginError
from astroclean.inference.onnx_graph import OnnxGraph

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    State = Mapping[str, NDArray[Any]]
    Layer = tuple[NDArray[np.float32], NDArray[np.float32]]

__all__ = ["INPUT", "OUTPUT", "fold", "write_network"]

INPUT, OUTPUT = "pixels", "probabilities"
_EPSILON = 1e-5
"""That PyTorch adds to the variance of a batch normalization."""
# Blocks of two convolutions of 3 x 3 pixels, and the other layers, by their names in the state.
_BLOCKS = {"in": "inc.conv.conv", "down": "down1.mpconv.1.conv", "up": "up8.conv.conv"}
_SINGLE = {"back": "up8.up", "out": "outc.conv"}


def fold(state: State) -> dict[str, Layer]:
    """Return plain convolutions for those with batch or weight normalization.

    At inference both are linear, so that they go into kernel and bias. Summed exactly (`math.fsum`)
    and in float64, so that every machine writes the same float32.

    Parameters
    ----------
    state : mapping of str to array
        Parameters by PyTorch's names. Convolutions may be followed by a batch normalization (its
        ``running_mean`` at the next index), or have ``weight_g`` and ``weight_v`` (weight
        normalization: Salimans & Kingma 2016, arXiv:1602.07868).

    Returns
    -------
    dict of str to (kernel, bias)
        ``in0 in1 down0 down1 up0 up1 back out``, float32, in the order in which they are applied
        within a block.

    Raises
    ------
    PluginError
        These are not the parameters of such a network.
    """
    state = {name.removeprefix("module."): np.asarray(v) for name, v in state.items()}
    layers: dict[str, Layer] = {}
    try:
        for block, prefix in _BLOCKS.items():
            second = 3 if f"{prefix}.1.running_mean" in state else 2
            for index, place in enumerate((0, second)):
                layers[f"{block}{index}"] = _folded(state, prefix, place)
        for name, prefix in _SINGLE.items():
            kernel, bias = state[f"{prefix}.weight"], state[f"{prefix}.bias"]
            layers[name] = (kernel.astype(np.float32), bias.astype(np.float32))
    except KeyError as error:
        raise PluginError(
            f"a network of deepCR has a parameter {error}, these have not",
            where="import of weights 'deepcr'",
            received=", ".join(list(state)[:5]) or "none",
        ) from error
    return layers


def _folded(state: State, prefix: str, place: int) -> Layer:
    name, normalization = f"{prefix}.{place}", f"{prefix}.{place + 1}"
    bias = state[f"{name}.bias"].astype(np.float64)
    if f"{name}.weight_g" in state:
        direction = state[f"{name}.weight_v"].astype(np.float64)
        lengths = [math.sqrt(math.fsum(np.square(kernel).flat)) for kernel in direction]
        kernel = state[f"{name}.weight_g"] * direction / np.reshape(lengths, (-1, 1, 1, 1))
    else:
        kernel = state[f"{name}.weight"].astype(np.float64)
    if f"{normalization}.running_mean" in state:
        variance = state[f"{normalization}.running_var"].astype(np.float64)
        gain = state[f"{normalization}.weight"] / np.sqrt(variance + _EPSILON)
        kernel = kernel * gain.reshape(-1, 1, 1, 1)
        bias = (bias - state[f"{normalization}.running_mean"]) * gain
        bias = bias + state[f"{normalization}.bias"]
    return kernel.astype(np.float32), bias.astype(np.float32)


def write_network(state: State, path: Path) -> None:
    """Write a network as ONNX: a U-Net of two resolutions with a probability for each pixel.

    Parameters
    ----------
    state : mapping of str to array
        As in :func:`fold`; any number of channels.
    path : Path
        File to write. Sides of its input ``pixels`` (n, 1, ny, nx) are even; ``probabilities`` has
        the same shape.

    Raises
    ------
    PluginError
        These are not the parameters of such a network.
    """
    graph, layers = OnnxGraph(), fold(state)
    fine = _block(graph, layers, "in", INPUT)
    coarse = graph.add("MaxPool", fine, kernel_shape=[2, 2], strides=[2, 2])
    coarse = _block(graph, layers, "down", coarse)
    back = graph.add("ConvTranspose", coarse, *_entered(graph, layers, "back"), strides=[2, 2])
    joined = graph.add("Concat", fine, back, axis=1)
    answer = graph.add("Conv", _block(graph, layers, "up", joined), *_entered(graph, layers, "out"))
    graph.answer(OUTPUT, graph.add("Sigmoid", answer))
    shape = ("n", 1, "ny", "nx")
    graph.write(path, name="deepcr", inputs={INPUT: shape}, outputs={OUTPUT: shape})


def _block(graph: OnnxGraph, layers: Mapping[str, Layer], name: str, source: str) -> str:
    for index in range(2):
        fed = _entered(graph, layers, f"{name}{index}")
        source = graph.add("Relu", graph.add("Conv", source, *fed, pads=[1, 1, 1, 1]))
    return source


def _entered(graph: OnnxGraph, layers: Mapping[str, Layer], name: str) -> list[str]:
    kernel, bias = layers[name]
    return [graph.parameter(f"{name}/kernel", kernel), graph.parameter(f"{name}/bias", bias)]
