"""Write a network with all that goes beside it: ONNX, card, stored answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.training.torch_shipping import ship_module
from astroclean_pconv.fill.cutouts import BATCHES, SIDE
from astroclean_pconv.network import CompactNetwork

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["export_network"]

_KINDS = {
    True: ("U-Net of partial convolutions without bias, five resolutions", "build_compact", 32),
    False: ("U-Net of partial convolutions, 11 + 11 blocks", "build_paper", 32),
}
_SPREAD = """
[[outputs]]
name = "spread"
channels = ["spread"]
content = "width"
at_invalid = "keep"
"""
_CARD = """\
schema = 1
name = "{name}"
architecture = "{architecture}, {millions:.2g} M parameters"
paper = "none"
license = "BSD-3-Clause"
unit = "any"
halo = {halo}
multiple = {multiple}
batches = {batches}
inputs = [{{ name = "image" }}, {{ name = "mask", content = "valid" }}]
normalization = {{ name = "sigma_clip_zscore", scope = "tile" }}

[[outputs]]
name = "background"
channels = ["background"]
content = "intensity"
at_invalid = "keep"
{spread}
[weights]
file = "{name}.onnx"
sha256 = "{sha256}"
size = {size}

[precision.f32]
absolute = 1e-4
relative = 1e-4

[network]
torch = "astroclean_pconv.network:{builder}"

[example]
file = "{name}.example.npz"
"""


def export_network(network: Any, folder: Path, *, name: str) -> list[Path]:
    """Write the weights of a network, its card, and an input with its answer.

    Parameters
    ----------
    network : CompactNetwork or PaperNetwork
        In evaluation.
    folder : Path
        Where.
    name : str
        Of the network.

    Returns
    -------
    list of Path
        ONNX file, card, example.
    """
    compact = isinstance(network, CompactNetwork)
    architecture, builder, multiple = _KINDS[compact]
    fields = {
        "name": name,
        "architecture": architecture,
        # A pixel in the middle of a hole is seen across the whole cut-out.
        "halo": SIDE // 2,
        "multiple": multiple,
        "batches": [[n, side, side] for side, n in BATCHES.items() if compact or side >= SIDE],
        "builder": builder,
        "spread": _SPREAD if compact else "",
    }
    return ship_module(
        network,
        folder,
        card=_CARD,
        fields=fields,
        example=example_cutout(),
        outputs={"background": 1, "spread": 1} if compact else {"background": 1},
    )


def example_cutout() -> dict[str, NDArray[np.float32]]:
    """Return a cut-out with a slope, waves, noise, and a bright source in a round hole."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    image = np.random.default_rng(7).normal(size=(SIDE, SIDE))
    image += 0.02 * x + np.sin(y / 12.0)
    image += 300 * np.exp(-(x**2 + y**2) / 18)
    mask = np.hypot(y, x) > 12  # noqa: PLR2004 - Full Mask of the paper's blue band
    return {
        name: values.astype(np.float32)[np.newaxis, np.newaxis]
        for name, values in (("image", image), ("mask", mask))
    }
