"""The default network: a U-Net on pixels of 3 arcsec that answers on pixels of 1 arcsec."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn

__all__ = ["FLUX_SCALE", "SOURCE_CHANNELS", "SpireNetwork", "build_unet"]

_WIDTHS = (32, 48, 64, 96, 128, 128)
"""Six resolutions: a pixel of the last is 96 arcsec wide."""
_CHANNELS = 9
_PER = 3
FLUX_SCALE = 10.0
"""mJy; what the outputs count in."""
SOURCE_CHANNELS = ("logit", "dx", "dy", "log_flux", "log_error")


class Block(nn.Sequential):  # type: ignore[misc]  # torch is untyped
    """Convolution, normalization, bend."""

    def __init__(self, before: int, after: int, *, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        )


class SpireNetwork(nn.Module):  # type: ignore[misc]  # torch is untyped
    """Maps planes (n, 9, ny, nx) to a map and to sources; sides are multiples of 32.

    Answers: ``map`` (n, 1, 3 ny, 3 nx), of which `astroclean_spire_sr.answers` makes mJy a beam;
    ``log_error`` (n, 1, ny, nx) of the map; ``sources`` (n, 5, ny, nx), for each pixel of 3 arcsec
    the logit of the probability that the centre of a source lies in it, its offset from the middle
    (pixels), logarithms of its flux (over 10 mJy) and of that logarithm's error.
    """

    def __init__(self, widths: tuple[int, ...] = _WIDTHS) -> None:
        super().__init__()
        self.first = nn.Sequential(Block(_CHANNELS, widths[0]), Block(widths[0], widths[0]))
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(
            nn.Sequential(Block(a, b, stride=2), Block(b, b)) for a, b in pairs
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs)
        self.join = nn.ModuleList(Block(2 * a, a) for a, _ in pairs)
        self.map_head = nn.Sequential(Block(widths[0], widths[0]), nn.Conv2d(widths[0], _PER**2, 1))
        self.error_head = nn.Conv2d(widths[0], 1, 1)
        self.source_head = nn.Sequential(
            Block(widths[0], widths[0]), nn.Conv2d(widths[0], len(SOURCE_CHANNELS), 1)
        )
        self.shuffle = nn.PixelShuffle(_PER)

    def forward(self, planes: Any) -> Any:
        """Return map, the logarithm of its error, and sources."""
        seen = [self.first(planes)]
        for down in self.down:
            seen.append(down(seen[-1]))
        features = seen.pop()
        for up, join in zip(reversed(self.up), reversed(self.join), strict=True):
            features = join(torch.cat([up(features), seen.pop()], 1))
        image = self.shuffle(self.map_head(features))
        return image, self.error_head(features), self.source_head(features)


def build_unet() -> SpireNetwork:
    """Return the network with random weights."""
    network = SpireNetwork()
    with torch.no_grad():
        network.map_head[-1].bias.fill_(-2.5)
        network.error_head.bias.fill_(-3.0)
        # Of a source in one of 140 pixels, of about 2.5 mJy.
        network.source_head[-1].bias.copy_(torch.tensor([-5.0, 0.0, 0.0, -1.4, -0.7]))
    return network
