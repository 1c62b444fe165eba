"""What a training leaves: network, card, an input with its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.training.keras_shipping import write_card, write_network
from astroclean_psf_cae.channels import ANSWERS, CHANNELS
from astroclean_psf_cae.network.residual import build_residual

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["NAME", "export_residual"]

NAME = "psf-cae-astroclean"
_CARD = """\
schema = 1
name = "{name}"
architecture = "U-Net, four resolutions, {millions:.2g} M parameters"
paper = "none"
license = "BSD-3-Clause"
unit = "any"
halo = 32
multiple = 8
batches = [[16, 64, 64], [1, 320, 320]]
inputs = [{{ name = "planes", channels = {inputs}, content = "extra" }}]
normalization = {{ name = "identity" }}

[[outputs]]
name = "answer"
channels = [{channels}]
content = "plain"
at_invalid = "keep"

[weights]
file = "{name}.onnx"
sha256 = "{{sha256}}"
size = {{size}}

[precision.f32]
absolute = 2e-3
relative = 2e-3

[precision.bf16]
absolute = 0.5
relative = 0.05

[network]
keras = "astroclean_psf_cae.network.residual:build_residual"

[domain]
fwhm_pixels = [2.2, 9.0]
description = "galaxies and stars of S/N 3 to 500 under PSFs of ellipticities up to 0.2"

[example]
file = "{name}.example.npz"
"""


def export_residual(
    weights: Sequence[NDArray[Any]], samples: Mapping[str, NDArray[Any]], folder: Path
) -> list[Path]:
    """Write the network as it is shipped.

    Parameters
    ----------
    weights : sequence of array
        In the order of the variables of `build_residual`.
    samples : mapping of str to array
        Of a validation; its first stamp is the example.
    folder : Path
        Where.

    Returns
    -------
    list of Path
        ONNX file, example, card.
    """
    model = build_residual()
    model.set_weights(list(weights))
    planes = samples["planes"][0][0].astype(np.float32)
    files = write_network(
        model,
        folder,
        name=NAME,
        outputs={"answer": ANSWERS},
        example=np.moveaxis(planes, 0, -1)[np.newaxis],
    )
    card = _CARD.format(
        name=NAME,
        millions=model.count_params() / 1e6,
        inputs=len(CHANNELS),
        channels=", ".join(f'"{answer}"' for answer in ANSWERS),
    )
    return [*files, write_card(card, folder, name=NAME)]
