"""Write the default network with all that goes beside it: ONNX, card, stored answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.training.torch_shipping import ship_module
from astroclean_spire_sr.network.unet import SOURCE_CHANNELS
from astroclean_spire_sr.planes import CHANNELS
from astroclean_spire_sr.predict import MULTIPLE
from astroclean_spire_sr.train.samples import VALIDATION, SampleMaker

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["export_network"]

_EXAMPLE = 64
_CARD = """\
schema = 1
name = "{name}"
architecture = "U-Net, six resolutions, pixel shuffle by 3, {millions:.2g} M parameters"
paper = "none"
license = "BSD-3-Clause"
unit = "any"
halo = 64
multiple = {multiple}
batches = [[1, 128, 128], [1, 512, 512]]
inputs = [{{ name = "planes", channels = {channels}, content = "extra" }}]
normalization = {{ name = "identity" }}

[[outputs]]
name = "map"
channels = ["map"]
content = "plain"
at_invalid = "keep"

[[outputs]]
name = "log_error"
channels = ["log_error"]
content = "plain"
at_invalid = "keep"

[[outputs]]
name = "sources"
channels = [{sources}]
content = "plain"
at_invalid = "keep"

[weights]
file = "{name}.onnx"
sha256 = "{sha256}"
size = {size}

[precision.f32]
absolute = 2e-3
relative = 2e-3

[precision.bf16]
absolute = 0.5
relative = 0.05

[network]
torch = "astroclean_spire_sr.network.unet:build_unet"

[domain]
fwhm_pixels = [2.6, 3.5]
description = "Herschel/SPIRE maps of galaxies, noise of .8 to 9 mJy a beam of a pixel at 250 um"

[example]
file = "{name}.example.npz"
"""


def export_network(network: Any, folder: Path, *, name: str) -> list[Path]:
    """Write the weights of a network, its card, and an input with its answer.

    Parameters
    ----------
    network : SpireNetwork
        Put into evaluation.
    folder : Path
        Where.
    name : str
        Of the network.

    Returns
    -------
    list of Path
        ONNX file, card, example.
    """
    field = SampleMaker(0, offset=VALIDATION)(0)["planes"][:, :_EXAMPLE, :_EXAMPLE]
    fields = {
        "name": name,
        "multiple": MULTIPLE,
        "channels": CHANNELS,
        "sources": ", ".join(f'"{channel}"' for channel in SOURCE_CHANNELS),
    }
    return ship_module(
        network,
        folder,
        card=_CARD,
        fields=fields,
        example={"planes": field[np.newaxis].astype(np.float32)},
        outputs={"map": 1, "log_error": 1, "sources": len(SOURCE_CHANNELS)},
    )
