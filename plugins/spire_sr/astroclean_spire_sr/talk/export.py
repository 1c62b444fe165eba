"""What a training of the variant `talk` leaves: ONNX file, card, stored answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.training.torch_shipping import ship_module
from astroclean_spire_sr.talk.samples import TalkSampleMaker
from astroclean_spire_sr.talk.scales import INPUT, TOP, scaled
from astroclean_spire_sr.talk.sizes import COMPACT, TALK
from astroclean_spire_sr.talk.weights import NAME
from astroclean_spire_sr.train.samples import VALIDATION

if TYPE_CHECKING:
    from pathlib import Path

    from astroclean_spire_sr.talk.sizes import GeneratorSize

__all__ = ["export_talk"]

_BUILDERS = {TALK: "build_talk", COMPACT: "build_compact"}
_CARD = """\
schema = 1
name = "{name}"
architecture = "U-Net of GalaxyGAN, {filters} to {widest} filters, {levels} levels, \
{millions:.3g} M parameters; 250 um ({low:g} to {high:g} mJy/beam) to 450 um (0 to {top:g})"
paper = "Lauritsen2021"
license = "BSD-3-Clause"
unit = "any"
halo = 48
multiple = {multiple}
batches = [[1, {side}, {side}]]
inputs = [{{ name = "image", channels = 1, content = "extra" }}]
normalization = {{ name = "identity" }}

[[outputs]]
name = "map"
channels = ["map"]
content = "plain"
at_invalid = "keep"

[weights]
file = "{name}.onnx"
sha256 = "{sha256}"
size = {size}

[precision.f32]
absolute = 1e-4
relative = 1e-3

{network}[domain]
fwhm_pixels = [2.6, 3.5]
description = "Herschel/SPIRE maps at 250 um, noise of .8 to 9 mJy a beam of a pixel"

[example]
file = "{name}.example.npz"
"""


def export_talk(module: Any, folder: Path, *, size: GeneratorSize, side: int) -> list[Path]:
    """Write the weights of a network, its card, and an input with its answer.

    Parameters
    ----------
    module : Generator
        Of the network.
    folder : Path
        Where.
    size : GeneratorSize
        Of the network.
    side : int
        Of the crops of its training, pixels: of the blocks that the stage shows it.

    Returns
    -------
    list of Path
        ONNX file, card, example.
    """
    # Engines build an architecture without arguments: one of the two that have a name.
    builder = _BUILDERS.get(size)
    place = f"astroclean_spire_sr.talk.network:{builder}"
    fields = {
        "name": NAME,
        "filters": size.filters,
        "widest": max(size.widths),
        "levels": size.levels,
        "low": INPUT[0],
        "high": INPUT[1],
        "top": TOP,
        "multiple": size.multiple,
        "side": side,
        "network": "" if builder is None else f'[network]\ntorch = "{place}"\n\n',
    }
    field = TalkSampleMaker(0, offset=VALIDATION)(0)["data"][:side, :side]
    image = scaled(field.astype(np.float32))[np.newaxis, np.newaxis]
    return ship_module(
        module, folder, card=_CARD, fields=fields, example={"image": image}, outputs={"map": 1}
    )
