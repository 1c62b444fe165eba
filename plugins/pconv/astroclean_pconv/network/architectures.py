"""Architectures in PyTorch: the paper's (figure 7, table 4), and a compact one for CPUs."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import nn

from astroclean_pconv.network.layers import Entry, Geometry, PartialConv2d, PullPush, joined

__all__ = ["CompactNetwork", "PaperNetwork", "build_compact", "build_paper"]

_FINE = Geometry(kernel=3, stride=1, padding=1)
_HALVE = Geometry(kernel=4, stride=2, padding=1)
_SQUEEZE = Geometry(kernel=3, stride=1, padding=0)
_DOWN = (
    (32, _FINE),
    (64, _HALVE),
    (64, _FINE),
    (128, _HALVE),
    (128, _FINE),
    (256, _HALVE),
    (256, _FINE),
    (512, _HALVE),
    (512, _FINE),
    (512, _HALVE),
    (512, _SQUEEZE),
)
"""Channels out and geometry of the blocks PCDown1 to PCDown11."""
_UP = (512, 512, 512, 256, 256, 128, 128, 64, 64, 32, 1)
"""Channels out of the blocks PCUp1 to PCUp11; their geometry is that of the encoder, reversed."""
_SMALL = 0.05
_WIDTHS = (16, 24, 32, 48, 64)
"""Filters of the compact network at full resolution, 1/2, 1/4, 1/8, 1/16."""


class PaperNetwork(nn.Module):  # type: ignore[misc]  # torch is untyped
    """The U-Net of the paper: 11 blocks down to a vector for 96 x 96 pixels, 11 blocks up.

    Sides are multiples of 32, at least 96. Block i of the decoder gets the features of block
    12 - i of the encoder, their masks too. All blocks but the last have a batch normalization, and
    no bias; ReLU in the encoder, leaky ReLU in the decoder.
    """

    def __init__(self) -> None:
        super().__init__()
        self.entry = Entry()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        width = 1
        for channels, geometry in _DOWN:
            self.down.append(PartialConv2d(width, channels, geometry))
            width = channels
        for index, (channels, (_, geometry)) in enumerate(zip(_UP, _DOWN[::-1], strict=True)):
            fed = width if index == 0 else 2 * width
            plain = {"scaling": "none", "activation": "none", "bias": True}
            told: dict[str, Any] = plain if channels == 1 else {"activation": "leaky"}
            finer = geometry._replace(transposed=True)
            self.up.append(PartialConv2d(fed, channels, finer, **told))
            width = channels

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the background.

        Parameters
        ----------
        image : (n, 1, ny, nx) tensor
            Normalized pixels; those in the holes are not read.
        mask : (n, 1, ny, nx) tensor
            1 where a pixel is to be believed, 0 in the holes.

        Returns
        -------
        (n, 1, ny, nx) tensor
            Normalized, everywhere.
        """
        pair = self.entry(image, mask)
        skips = []
        for block in self.down:
            pair = block(pair[0], pair[1])
            skips.append(pair)
        skips.pop()
        for index, block in enumerate(self.up):
            if index:
                pair = joined(pair, skips.pop())
            pair = block(pair[0], pair[1])
        return pair[0]


class CompactNetwork(nn.Module):  # type: ignore[misc]  # torch is untyped
    """A U-Net of partial convolutions with five resolutions and 0.4 M parameters.

    It corrects a simple filling (`PullPush`), which it sees beside the image. Nothing is added
    anywhere: no bias, no batch normalization. So twice the image gives twice the background (a
    bias-free network, Mohan et al. 2020, arXiv:1906.05478), and the best linear interpolation is
    among what it can learn. A second answer tells how far the first is off, in the same unit; it
    is positive, and doubles with the image too. Sides are multiples of 32.
    """

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.simple = Entry(), PullPush()
        plain: dict[str, Any] = {"scaling": "balanced"}
        widths = _WIDTHS
        self.first = PartialConv2d(2, widths[0], _FINE, **plain)
        self.encoder = nn.ModuleList(PartialConv2d(w, w, _FINE, **plain) for w in widths)
        steps = list(itertools.pairwise(widths))
        self.coarser = nn.ModuleList(PartialConv2d(a, b, _HALVE, **plain) for a, b in steps)
        leaky = {**plain, "activation": "leaky"}
        self.deepest = PartialConv2d(widths[-1], widths[-1], _FINE, **plain)
        self.finer = nn.ModuleList(
            PartialConv2d(b, a, _HALVE._replace(transposed=True), **leaky) for a, b in steps
        )
        self.decoder = nn.ModuleList(PartialConv2d(2 * w, w, _FINE, **leaky) for w in widths[:-1])
        free: dict[str, Any] = {"scaling": "none"}
        self.last = PartialConv2d(widths[0], 1, _FINE, **free, activation="none")
        self.spread = PartialConv2d(widths[0], 1, _FINE, **free, activation="abs")
        # The correction begins near 0, the expected error small.
        self.last.conv.weight.data.mul_(_SMALL)
        self.spread.conv.weight.data.mul_(0.5)

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the background, see `PaperNetwork.forward`, and the expected error of it."""
        pair = self.entry(image, mask)
        simple = self.simple(pair[0], pair[1])
        # Zeros in the holes, and the filling, which has none.
        pair = (torch.cat([pair[0], simple], 1), 0.5 * pair[1] + 0.5)
        pair = self.first(pair[0], pair[1])
        skips = []
        for level, block in enumerate(self.encoder):
            if level:
                skips.append(pair)
                pair = self.coarser[level - 1](pair[0], pair[1])
            pair = block(pair[0], pair[1])
        pair = self.deepest(pair[0], pair[1])
        for level in reversed(range(len(self.decoder))):
            pair = self.finer[level](pair[0], pair[1])
            pair = joined(pair, skips[level])
            pair = self.decoder[level](pair[0], pair[1])
        return simple + self.last(pair[0], pair[1])[0], self.spread(pair[0], pair[1])[0]


def build_paper() -> PaperNetwork:
    """Return the network of the paper, with random weights."""
    return PaperNetwork()


def build_compact() -> CompactNetwork:
    """Return the compact network, with random weights."""
    return CompactNetwork()
