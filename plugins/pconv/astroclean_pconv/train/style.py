"""Features for the style loss: the frozen encoder of our network for MaxiMask.

The paper takes VGG-16, whose weights are of photographs and lie on a server. This encoder was
trained on simulated exposures and is read from an ONNX file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from astroclean.errors import ConfigurationError
from astroclean.inference.engines.initializers import read_initializers

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["StyleFeatures"]

_NAME = re.compile(r"down(\d+)_(\d+)/kernel")


class StyleFeatures(nn.Module):  # type: ignore[misc]  # torch is untyped
    """Gives the features of the first resolutions of an encoder; nothing of it is learned.

    Parameters
    ----------
    weights : Path
        ONNX file of our network for MaxiMask, compact or wide.
    levels : int
        Resolutions: full, 1/2, ...

    Raises
    ------
    ConfigurationError
        The file has no such encoder.
    """

    def __init__(self, weights: Path, *, levels: int = 3) -> None:
        super().__init__()
        known = read_initializers(weights)
        matched = [match for match in map(_NAME.fullmatch, known) if match]
        places = sorted((int(match[1]), int(match[2])) for match in matched)
        if len({level for level, _ in places}) < levels:
            raise ConfigurationError(
                f"{weights.name} has no encoder of {levels} resolutions (down0_0/kernel, ...)"
            )
        self._places = [place for place in places if place[0] < levels]
        for level, index in self._places:
            for part in ("kernel", "bias"):
                values = torch.from_numpy(known[f"down{level}_{index}/{part}"].copy())
                self.register_buffer(f"down{level}_{index}_{part}", values)
        # The wide network adds what it sees in binned pixels to some of its resolutions.
        self._binned = {n for n in range(levels) if f"light{n}/kernel" in known}
        for level in self._binned:
            for part in ("kernel", "bias"):
                values = torch.from_numpy(known[f"light{level}/{part}"].copy())
                self.register_buffer(f"light{level}_{part}", values)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Return the last features of each resolution.

        Parameters
        ----------
        image : (n, 1, ny, nx) tensor
            In units of the noise; sides are multiples of 2 to the power of the levels less one.

        Returns
        -------
        list of (n, channels, my, mx) tensor
            From the finest on.
        """
        padded = functional.pad(image, (1, 1, 1, 1), mode="reflect")
        detail = (image - functional.avg_pool2d(padded, 3, stride=1)) * (9 / 8)
        tensor = torch.cat([torch.arcsinh(image), torch.arcsinh(detail)], 1)
        found: list[torch.Tensor] = []
        for level, index in self._places:
            kernel = getattr(self, f"down{level}_{index}_kernel")
            bias = getattr(self, f"down{level}_{index}_bias")
            if level and not index:
                found.append(tensor)
                # Keras pads a strided convolution of an even side below and on the right alone.
                padded = functional.pad(tensor, (0, 1, 0, 1))
                tensor = functional.conv2d(padded, kernel, bias, stride=2)
            else:
                tensor = functional.conv2d(tensor, kernel, bias, padding=1)
            tensor = functional.relu(tensor)
            if level in self._binned and not index:
                tensor = tensor + self._light(image, level)
        return [*found, tensor]

    def _light(self, image: torch.Tensor, level: int) -> torch.Tensor:
        """Return what a resolution makes of the binned pixels, in units of the noise of a bin."""
        side = 2**level
        light = torch.arcsinh(functional.avg_pool2d(image, side) * side)
        kernel, bias = (getattr(self, f"light{level}_{part}") for part in ("kernel", "bias"))
        return functional.conv2d(light, kernel, bias, padding=1)
