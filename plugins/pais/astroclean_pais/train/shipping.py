"""What a training leaves: network, card, an input with its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.training.keras_shipping import write_card, write_network
from astroclean_pais.features import CHANNELS
from astroclean_pais.network.finder import HEADS, build_finder
from astroclean_pais.network.profile import build_profile
from astroclean_pais.profiles import INPUTS, OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["FINDER", "PROFILE", "export_finder", "export_profile"]

FINDER, PROFILE = "pais-astroclean", "pais-astroclean-profile"
_SIDE = 64
_CARD = """\
schema = 1
name = "{name}"
architecture = "{architecture}"
paper = "none"
license = "BSD-3-Clause"
unit = "any"
halo = {halo}
multiple = {multiple}
batches = {batches}
inputs = [{{ name = "{entry}", channels = {inputs}, content = "extra" }}]
normalization = {{ name = "identity" }}

[[outputs]]
name = "{answer}"
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

[network]
keras = "{builder}"

[domain]
fwhm_pixels = [1.5, 7.0]
description = "crowded fields of galaxies and stars: 25 to 500 sources in 256 x 256 pixels"

[example]
file = "{name}.example.npz"
"""


def export_finder(
    weights: Sequence[NDArray[Any]], samples: Mapping[str, NDArray[Any]], folder: Path
) -> list[Path]:
    """Write the finder as it is shipped.

    Parameters
    ----------
    weights : sequence of array
        In the order of the variables of `build_finder`.
    samples : mapping of str to array
        Of a validation; the first is the example.
    folder : Path
        Where.

    Returns
    -------
    list of Path
        ONNX file, example, card.
    """
    planes = samples["planes"][0][:, :_SIDE, :_SIDE].astype(np.float32)
    return _written(
        build_finder(),
        weights,
        planes,
        folder,
        {
            "name": FINDER,
            "architecture": "U-Net, five resolutions, {millions:.2g} M parameters",
            "halo": 64,
            "multiple": 16,
            "batches": [[1, 768, 768]],
            "entry": "planes",
            "inputs": len(CHANNELS),
            "answer": "maps",
            "channels": HEADS,
            "builder": "astroclean_pais.network.finder:build_finder",
        },
    )


def export_profile(
    weights: Sequence[NDArray[Any]], samples: Mapping[str, NDArray[Any]], folder: Path
) -> list[Path]:
    """Write the profile network as it is shipped; arguments as of `export_finder`."""
    stamp = samples["inputs"][0][0].astype(np.float32)
    return _written(
        build_profile(),
        weights,
        stamp,
        folder,
        {
            "name": PROFILE,
            "architecture": "U-Net on stamps, three resolutions, {millions:.2g} M parameters",
            "halo": 32,
            "multiple": 4,
            "batches": [[32, 32, 32], [32, 64, 64], [4, 128, 128]],
            "entry": "stamp",
            "inputs": len(INPUTS),
            "answer": "profile",
            "channels": OUTPUTS,
            "builder": "astroclean_pais.network.profile:build_profile",
        },
    )


def _written(
    model: Any,
    weights: Sequence[NDArray[Any]],
    example: NDArray[np.float32],
    folder: Path,
    entries: Mapping[str, Any],
) -> list[Path]:
    model.set_weights(list(weights))
    name, channels = str(entries["name"]), entries["channels"]
    files = write_network(
        model,
        folder,
        name=name,
        outputs={entries["answer"]: channels},
        example=np.moveaxis(example, 0, -1)[np.newaxis],
    )
    listed = {**entries, "channels": ", ".join(f'"{channel}"' for channel in channels)}
    listed["architecture"] = entries["architecture"].format(millions=model.count_params() / 1e6)
    return [*files, write_card(_CARD.format(**listed), folder, name=name)]
