"""Partial convolution, plain and transposed (Liu et al. 2018, arXiv:1804.07723).

A tensor with holes travels as a pair: values, zero where nothing is known, and their coverage, the
part of the channels that is known at each pixel. All channels of one layer have the same holes, so
one channel of coverage tells of all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from astroclean.inference.onnx_graph import OnnxGraph

__all__ = ["Entry", "Geometry", "PartialConv2d", "joined"]

Pair = tuple[torch.Tensor, torch.Tensor]
_SLOPE = 0.2
"""Of the leaky ReLU (paper, section 3.2.1)."""
_HALF = 0.5
_FLOAT = 1
"""ONNX's number for float32."""
_KNOWN = 0.01
"""Mean coverage of a window from which it is known: engines may round a zero to something else."""


class Geometry(NamedTuple):
    """How the windows of a convolution lie, as of `torch.nn.Conv2d` and its transposed form."""

    kernel: int = 3
    stride: int = 1
    padding: int = 1
    transposed: bool = False
    """Whether the grid becomes finer."""


class Entry(nn.Module):  # type: ignore[misc]  # torch is untyped
    """Makes a pair of an image and its mask; what stands in the holes, NaN too, is not read."""

    def forward(self, image: torch.Tensor, valid: torch.Tensor) -> Pair:
        """Return values and coverage.

        Parameters
        ----------
        image : (n, 1, ny, nx) tensor
            Pixels.
        valid : (n, 1, ny, nx) tensor
            1 where a pixel is to be believed, else 0.
        """
        known = valid > _HALF
        return torch.where(known, image, 0.0), known.to(image.dtype)

    def to_onnx(self, graph: OnnxGraph, name: str, sources: list[str]) -> list[str]:  # noqa: ARG002
        """Write the same in ONNX."""
        image, valid = sources
        known = graph.add("Greater", valid, graph.constant(_HALF))
        values = graph.add("Where", known, image, graph.constant(0.0))
        return [values, graph.add("Cast", known, to=_FLOAT)]


def joined(one: Pair, other: Pair) -> Pair:
    """Return the channels of two pairs as one; holes of one alone are half covered.

    Parameters
    ----------
    one, other : pair
        Of the same shape.

    Returns
    -------
    pair
        With the channels of both.
    """
    coverage = 0.5 * (one[1] + other[1])
    return torch.cat([one[0], other[0]], 1), coverage


class PartialConv2d(nn.Module):  # type: ignore[misc]  # torch is untyped
    """Partial convolution with mask update, normalization and activation.

    ``x' = W (x * m) sum(1) / sum(m) + b`` where ``sum(m) > 0``, else 0; there the new mask is 1,
    else 0 (Liu et al. 2018, equations 1 and 2). The sum of the mask runs over all channels of the
    window. What lies beyond the border counts as a hole. Transposed, each output pixel sees
    ``(kernel / stride)^2`` inputs, which stands for ``sum(1)``.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    geometry : Geometry
        Of the windows.
    normalized : bool
        Whether a batch normalization follows; without it there is none.
    activation : str
        ``relu``, ``leaky`` or ``none``.
    bias : bool
        Whether there is a b.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        geometry: Geometry = Geometry(),  # noqa: B008 - a tuple
        *,
        normalized: bool = True,
        activation: str = "relu",
        bias: bool = False,
    ) -> None:
        super().__init__()
        kernel, self.stride, self.padding, self.transposed = geometry
        self.activation = activation
        told = {"stride": self.stride, "padding": self.padding, "bias": False}
        kind = nn.ConvTranspose2d if self.transposed else nn.Conv2d
        self.conv = kind(inputs, outputs, kernel, **told)
        # Of the taps of a transposed kernel an output meets one in stride^2.
        met = (kernel / self.stride if self.transposed else kernel) ** 2
        nn.init.normal_(self.conv.weight, std=(2 / (inputs * met)) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.norm = nn.BatchNorm2d(outputs) if normalized else None
        self.register_buffer("mean", torch.full((1, 1, kernel, kernel), 1 / met), persistent=False)

    def forward(self, values: torch.Tensor, coverage: torch.Tensor) -> Pair:
        """Return values and coverage on the new grid."""
        convolve = functional.conv_transpose2d if self.transposed else functional.conv2d
        part = convolve(coverage, self.mean, stride=self.stride, padding=self.padding)
        mask = (part > _KNOWN).to(values.dtype)
        made = self.conv(values) / torch.clamp(part, min=_KNOWN)
        if self.bias is not None:
            made = made + self.bias.reshape(1, -1, 1, 1)
        if self.norm is not None:
            made = self.norm(made)
        if self.activation == "relu":
            made = functional.relu(made)
        elif self.activation == "leaky":
            made = functional.leaky_relu(made, _SLOPE)
        return made * mask, mask

    def to_onnx(self, graph: OnnxGraph, name: str, sources: list[str]) -> list[str]:
        """Write the layer; return the names of values and coverage."""
        values, coverage = sources
        pads = {"strides": [self.stride] * 2, "pads": [self.padding] * 4}
        operation = "ConvTranspose" if self.transposed else "Conv"
        part = graph.add(operation, coverage, graph.inline(self.mean.numpy()), **pads)
        known = graph.add("Greater", part, graph.constant(_KNOWN))
        mask = graph.add("Cast", known, to=_FLOAT)
        weight = _parameter(graph, name, "conv.weight", self.conv.weight)
        made = graph.add(operation, values, weight, **pads)
        made = graph.add("Div", made, graph.add("Max", part, graph.constant(_KNOWN)))
        if self.bias is not None:
            axes = graph.constant([0, 2, 3], "int64")
            bias = _parameter(graph, name, "bias", self.bias)
            made = graph.add("Add", made, graph.add("Unsqueeze", bias, axes))
        if self.norm is not None:
            keys = ("weight", "bias", "running_mean", "running_var")
            parts = [_parameter(graph, name, f"norm.{k}", getattr(self.norm, k)) for k in keys]
            made = graph.add("BatchNormalization", made, *parts, epsilon=self.norm.eps)
        if self.activation == "relu":
            made = graph.add("Relu", made)
        elif self.activation == "leaky":
            made = graph.add("LeakyRelu", made, alpha=_SLOPE)
        return [graph.add("Mul", made, mask), mask]


def _parameter(graph: OnnxGraph, layer: str, name: str, values: Any) -> str:
    return graph.parameter(f"{layer}.{name}", values.detach().cpu().numpy())
