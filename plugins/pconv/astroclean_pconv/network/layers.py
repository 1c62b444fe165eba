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
    from collections.abc import Mapping

    from astroclean.inference.onnx_graph import OnnxGraph

__all__ = ["Entry", "Geometry", "PartialConv2d", "PullPush", "joined"]

Pair = tuple[torch.Tensor, torch.Tensor]
_SLOPE = 0.2
"""Of the leaky ReLU (paper, section 3.2.1)."""
_HALF = 0.5
_FLOAT = 1
"""ONNX's number for float32."""
_KNOWN = 0.01
"""Mean coverage of a window from which it is known: engines may round a zero to something else."""
_LEAST = 1e-12


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


class PullPush(nn.Module):  # type: ignore[misc]  # torch is untyped
    """Fills holes with means of what is known, from the finest resolution that knows anything.

    The image is averaged over 2 x 2 known pixels again and again; then each hole takes the linear
    interpolation of the next coarser resolution (Gortler et al. 1996, the lumigraph's pull-push).
    Nothing is learned. What no resolution knows becomes 0.

    Parameters
    ----------
    levels : int
        Times that the resolution is halved.
    """

    def __init__(self, levels: int = 5) -> None:
        super().__init__()
        self.levels = levels
        line = torch.tensor([0.25, 0.75, 0.75, 0.25])
        self.register_buffer("mean", torch.full((1, 1, 2, 2), 0.25), persistent=False)
        self.register_buffer("tent", torch.outer(line, line)[None, None], persistent=False)

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the filled image.

        Parameters
        ----------
        values : (n, 1, ny, nx) tensor
            0 in the holes; sides are multiples of 2 to the power of the levels. Beyond the border
            counts as 0 where a hole touches it.
        mask : (n, 1, ny, nx) tensor
            1 where known.
        """
        known = [(values, mask)]
        for _ in range(self.levels):
            values, mask = known[-1]
            part = functional.conv2d(mask, self.mean, stride=2)
            summed = functional.conv2d(values, self.mean, stride=2)
            mask = (part > _KNOWN).to(values.dtype)
            known.append((summed / torch.clamp(part, min=_KNOWN), mask))
        filled = known.pop()[0]
        while known:
            values, mask = known.pop()
            finer = functional.conv_transpose2d(filled, self.tent, stride=2, padding=1)
            filled = values + (1 - mask) * finer
        return filled

    def to_onnx(self, graph: OnnxGraph, name: str, sources: list[str]) -> str:  # noqa: ARG002
        """Write the same in ONNX."""
        mean, tent = (graph.inline(kernel.numpy()) for kernel in (self.mean, self.tent))
        known, (values, mask) = [tuple(sources)], sources
        for _ in range(self.levels):
            part = graph.add("Conv", mask, mean, strides=[2, 2])
            summed = graph.add("Conv", values, mean, strides=[2, 2])
            mask = graph.add("Cast", graph.add("Greater", part, graph.constant(_KNOWN)), to=_FLOAT)
            least = graph.add("Max", part, graph.constant(_KNOWN))
            values = graph.add("Div", summed, least)
            known.append((values, mask))
        filled = known.pop()[0]
        while known:
            values, mask = known.pop()
            told = {"strides": [2, 2], "pads": [1] * 4}
            finer = graph.add("ConvTranspose", filled, tent, **told)
            unknown = graph.add("Sub", graph.constant(1.0), mask)
            filled = graph.add("Add", values, graph.add("Mul", unknown, finer))
        return filled


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
    scaling : str
        ``batch``: a batch normalization follows; ``balanced``: the kernels of each output have a
        fixed norm, so that features keep their size through a network without normalizations, and
        only directions are learned; ``none``.
    activation : str
        ``relu``, ``leaky``, ``abs`` or ``none``.
    bias : bool
        Whether there is a b.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        geometry: Geometry = Geometry(),  # noqa: B008 - a tuple
        *,
        scaling: str = "batch",
        activation: str = "relu",
        bias: bool = False,
    ) -> None:
        super().__init__()
        kernel, self.stride, self.padding, self.transposed = geometry
        self.activation = activation
        self.scaling = scaling
        told = {"stride": self.stride, "padding": self.padding, "bias": False}
        kind = nn.ConvTranspose2d if self.transposed else nn.Conv2d
        self.conv = kind(inputs, outputs, kernel, **told)
        # Of the taps of a transposed kernel an output meets one in stride^2.
        met = (kernel / self.stride if self.transposed else kernel) ** 2
        nn.init.normal_(self.conv.weight, std=(2 / (inputs * met)) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.norm = nn.BatchNorm2d(outputs) if scaling == "batch" else None
        self.register_buffer("mean", torch.full((1, 1, kernel, kernel), 1 / met), persistent=False)

    def forward(self, values: torch.Tensor, coverage: torch.Tensor) -> Pair:
        """Return values and coverage on the new grid."""
        convolve = functional.conv_transpose2d if self.transposed else functional.conv2d
        told = {"stride": self.stride, "padding": self.padding}
        part = convolve(coverage, self.mean, **told)
        mask = (part > _KNOWN).to(values.dtype)
        made = convolve(values, self.weight, **told) * (mask / torch.clamp(part, min=_KNOWN))
        if self.bias is not None:
            made = made + self.bias.reshape(1, -1, 1, 1)
        if self.norm is not None:
            made = self.norm(made)
        if self.activation == "relu":
            made = functional.relu(made)
        elif self.activation == "leaky":
            made = functional.leaky_relu(made, _SLOPE)
        elif self.activation == "abs":
            made = torch.abs(made)
        return (made * mask if self._adds else made), mask

    @property
    def _adds(self) -> bool:
        """Whether something may be added in the holes, which must be 0."""
        return self.bias is not None or self.norm is not None

    @property
    def weight(self) -> torch.Tensor:
        """The kernels in force."""
        kernels = self.conv.weight
        if self.scaling != "balanced":
            return kernels
        others = (0, 2, 3) if self.transposed else (1, 2, 3)
        # ReLU halves the mean square; of the taps of a transposed kernel one in stride^2 is met.
        wanted = 2.0 * (self.stride**2 if self.transposed else 1)
        squared = (kernels * kernels).sum(others, keepdim=True)
        return kernels * torch.sqrt(wanted / squared.clamp(min=_LEAST))

    def to_onnx(self, graph: OnnxGraph, name: str, sources: list[str]) -> list[str]:
        """Write the layer; return the names of values and coverage."""
        values, coverage = sources
        pads = {"strides": [self.stride] * 2, "pads": [self.padding] * 4}
        operation = "ConvTranspose" if self.transposed else "Conv"
        part = self._part_to_onnx(graph, coverage, pads)
        known = graph.add("Greater", part, graph.constant(_KNOWN))
        mask = graph.add("Cast", known, to=_FLOAT)
        weight = _parameter(graph, name, "conv.weight", self.weight)
        made = graph.add(operation, values, weight, **pads)
        share = graph.add("Div", mask, graph.add("Max", part, graph.constant(_KNOWN)))
        made = graph.add("Mul", made, share)
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
        elif self.activation == "abs":
            made = graph.add("Abs", made)
        return [graph.add("Mul", made, mask) if self._adds else made, mask]

    def _part_to_onnx(self, graph: OnnxGraph, coverage: str, pads: Mapping[str, list[int]]) -> str:
        """Write the mean coverage of each window; engines are slow at convolving one channel."""
        if self.transposed:
            return graph.add("ConvTranspose", coverage, graph.inline(self.mean.numpy()), **pads)
        window = {"kernel_shape": list(self.mean.shape[-2:]), "count_include_pad": 1}
        return graph.add("AveragePool", coverage, **window, **pads)


def _parameter(graph: OnnxGraph, layer: str, name: str, values: Any) -> str:
    return graph.parameter(f"{layer}.{name}", values.detach().cpu().numpy())
