"""The generator of the talk: a U-Net like that of GalaxyGAN, in PyTorch.

Schawinski et al. (2017, MNRAS 467, L110); Lauritsen et al. (2021, MNRAS 507, 1546). The talk's key
of the blocks: convolution, batch normalization, LeakyReLU; transposed convolution, batch
normalization (with dropout in some), LeakyReLU; the last: batch normalization, sigmoid. Numbers of
filters and levels are those of GalaxyGAN.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn

from astroclean_spire_sr.talk.sizes import COMPACT, TALK, GeneratorSize

__all__ = ["Generator", "build_compact", "build_talk"]

_SLOPE = 0.2
_DROPPED = 0.5
_WITH_DROPOUT = 3
"""Decoder blocks that have dropout, from the coarsest on."""
_DARK = -4.0
"""Where the sigmoid begins: most of the sky is dark, and an even start of .5 would be 50 mJy."""
_KERNEL: Any = {"kernel_size": 4, "stride": 2, "padding": 1, "bias": False}


class Down(nn.Sequential):  # type: ignore[misc]  # torch is untyped
    """Half the resolution; the first block is not normalized."""

    def __init__(self, before: int, after: int, *, normalized: bool = True) -> None:
        layers = [nn.Conv2d(before, after, **{**_KERNEL, "bias": not normalized})]
        if normalized:
            layers.append(nn.BatchNorm2d(after))
        super().__init__(*layers, nn.LeakyReLU(_SLOPE))


class Up(nn.Sequential):  # type: ignore[misc]  # torch is untyped
    """Twice the resolution."""

    def __init__(self, before: int, after: int, *, dropout: bool) -> None:
        layers = [nn.ConvTranspose2d(before, after, **_KERNEL), nn.BatchNorm2d(after)]
        if dropout:
            layers.append(nn.Dropout(_DROPPED))
        super().__init__(*layers, nn.LeakyReLU(_SLOPE))


class Generator(nn.Module):  # type: ignore[misc]  # torch is untyped
    """Maps a map (n, 1, ny, nx), 0 to 1, to one of the same shape, 0 to 1.

    Sides are multiples of 2 to the number of levels. What 0 and 1 are, `scales` says.

    Parameters
    ----------
    size : GeneratorSize
        Filters and levels.
    """

    def __init__(self, size: GeneratorSize = TALK) -> None:
        super().__init__()
        widths = size.widths
        self.down = nn.ModuleList([Down(1, widths[0], normalized=False)])
        self.down.extend(Down(a, b) for a, b in pairwise(widths))
        # Each block but the coarsest also sees what the encoder had at its resolution.
        seen = [widths[-1], *(2 * width for width in reversed(widths[:-1]))]
        made = list(reversed(widths[:-1]))
        self.up = nn.ModuleList(
            Up(a, b, dropout=index < _WITH_DROPOUT)
            for index, (a, b) in enumerate(zip(seen, made, strict=False))
        )
        self.last = nn.Sequential(
            nn.ConvTranspose2d(seen[-1], 1, **_KERNEL), nn.BatchNorm2d(1), nn.Sigmoid()
        )
        nn.init.constant_(self.last[1].bias, _DARK)

    def forward(self, image: Any) -> Any:
        """Return the sky at 450 um."""
        features, kept = image, []
        for block in self.down:
            features = block(features)
            kept.append(features)
        kept.pop()
        for block in self.up:
            features = torch.cat([block(features), kept.pop()], 1)
        return self.last(features)


def build_talk() -> Generator:
    """Return the network of the talk with random weights: 64 to 512 filters, eight levels."""
    return Generator(TALK)


def build_compact() -> Generator:
    """Return one that a CPU can train, with random weights: 32 to 256 filters, six levels."""
    return Generator(COMPACT)
