"""What a training of the variant `paper` leaves: ONNX file, card, example, channel settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astroclean.training.keras_shipping import write_card, write_network
from astroclean_psf_cae.paper.channels import CHANNELS
from astroclean_psf_cae.paper.network import INPUT, MULTIPLE, OUTPUT, build_paper
from astroclean_psf_cae.paper.samples import FWHM
from astroclean_psf_cae.paper.weights import NAME, write_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from astroclean_psf_cae.paper.channels import ChannelSettings

__all__ = ["HALO", "export_paper"]

HALO = 32
"""Reach of the convolutions, 29 pixels, as a multiple of 8."""
_CARD = """\
schema = 1
name = "{name}"
architecture = "Convolutional autoencoder of {names}, {millions:.2f} M parameters"
paper = "2310.19605"
license = "BSD-3-Clause"
unit = "any"
halo = {halo}
multiple = {multiple}
inputs = [{{ name = "{entry}", channels = {channels}, content = "extra" }}]
normalization = {{ name = "identity" }}

[[outputs]]
name = "{answer}"
channels = ["image"]
content = "plain"
at_invalid = "keep"

[weights]
file = "{name}.onnx"
sha256 = "{{sha256}}"
size = {{size}}

[precision.f32]
absolute = 1e-4
relative = 1e-3

{network}

[domain]
fwhm_pixels = [{fwhm}]
description = "one galaxy near the middle, S/N 3 to 500; Moffat PSFs; answers at 2 pixels FWHM"

[example]
file = "{name}.example.npz"
"""

# Engines build an architecture without arguments: that of all three channels.
_NETWORK = """\
[network]
keras = "astroclean_psf_cae.paper.network:build_paper"
"""


def export_paper(
    weights: Sequence[NDArray[np.float32]],
    example: NDArray[np.float32],
    settings: ChannelSettings,
    folder: Path,
) -> list[Path]:
    """Write the network of the paper with all that is needed to run it.

    Parameters
    ----------
    weights : sequence of array
        In the order of the variables of `build_paper`.
    example : (1, ny, nx, channels) float32
        Scaled channels of a stamp, whose answer is stored.
    settings : ChannelSettings
        How they were made.
    folder : Path
        Where.

    Returns
    -------
    list of Path
        ONNX file, example, settings, card.
    """
    count = len(settings.names)
    model = build_paper(count)
    model.set_weights(list(weights))
    files = write_network(model, folder, name=NAME, outputs={OUTPUT: ("image",)}, example=example)
    card = _CARD.format(
        name=NAME,
        names=", ".join(settings.names),
        millions=model.count_params() / 1e6,
        halo=HALO,
        multiple=MULTIPLE,
        entry=INPUT,
        channels=count,
        answer=OUTPUT,
        network=_NETWORK if count == len(CHANNELS) else "",
        fwhm=", ".join(map(str, FWHM)),
    )
    return [*files, write_settings(settings, folder), write_card(card, folder, name=NAME)]
