"""What a training of the variant `paper` leaves: ONNX file, card, stored answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from astroclean.inference.cards.verify import write_example
from astroclean.inference.cards.weights import digest_of
from astroclean.training.keras_onnx import export_keras
from astroclean_pais.contributions import PAPER
from astroclean_pais.network.paper import INPUT, MULTIPLE, OUTPUTS, build_paper
from astroclean_pais.train.paper_samples import FWHM, normalized

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["NAME", "export_paper"]

NAME = "pais-paper"
_HALO = 160
"""Reach of the convolutions in pixels, a multiple of 16; the attention sees all of a tile."""
_SIDE = 96
_CARD = """\
schema = 1
name = "{name}"
architecture = "Residual encoder, two decoders with fast attention, {millions:.2f} M parameters"
paper = "2201.04714"
license = "BSD-3-Clause"
unit = "any"
halo = {halo}
multiple = {multiple}
inputs = [{{ name = "{input}" }}]
normalization = {{ name = "asinh" }}

[[outputs]]
name = "center"
channels = ["center"]

[[outputs]]
name = "vectors"
channels = [{vectors}]

[[outputs]]
name = "maps"
channels = [{maps}]

[weights]
file = "{name}.onnx"
sha256 = "{sha256}"
size = {size}

# Vectors are tens of pixels long.
[precision.f32]
absolute = 1e-3
relative = 1e-3

[network]
keras = "astroclean_pais.network.paper:build_paper"

[domain]
fwhm_pixels = [{fwhm}]
description = "Simulated blends, {side} pixels and 15 to 150 sources; Gaussians of 8 pixels"

[example]
file = "{name}.example.npz"
"""


def export_paper(weights: Sequence[NDArray[np.float32]], folder: Path) -> list[Path]:
    """Write the network of the paper with its card and an input with its answer.

    Parameters
    ----------
    weights : sequence of array
        In the order of the variables of `build_paper` with logits, which are trained.
    folder : Path
        Where.

    Returns
    -------
    list of Path
        ONNX file, example, card.
    """
    trained, model = build_paper(PAPER.n, logits=True), build_paper(PAPER.n)
    trained.set_weights(list(weights))
    # The softmax changes the order of the layers.
    values = {variable.path: variable for variable in trained.weights}
    for variable in model.weights:
        variable.assign(values[variable.path])
    onnx, stored, card = (
        folder / f"{NAME}{suffix}" for suffix in (".onnx", ".example.npz", ".card.toml")
    )
    export_keras(model, onnx, inputs={INPUT: 1}, outputs=OUTPUTS)
    pixels = _example()
    answers = dict(zip(OUTPUTS, model(pixels, training=False), strict=True))
    told = {name: _channels_first(np.asarray(answer)) for name, answer in answers.items()}
    write_example(stored, {INPUT: _channels_first(pixels)}, told)
    card.write_text(_card(model.count_params(), onnx), "utf-8")
    return [onnx, stored, card]


def _card(parameters: int, onnx: Path) -> str:
    places = [f"{axis}{source}" for source in range(1, PAPER.n + 1) for axis in "yx"]
    shares = [f"share{source}" for source in range(1, PAPER.n + 1)]
    return _CARD.format(
        name=NAME,
        millions=parameters / 1e6,
        halo=_HALO,
        multiple=MULTIPLE,
        input=INPUT,
        vectors=", ".join(f'"{place}"' for place in places),
        maps=", ".join(f'"{share}"' for share in shares),
        sha256=digest_of(onnx),
        size=onnx.stat().st_size,
        fwhm=", ".join(map(str, FWHM)),
        side=256,
    )


def _example() -> NDArray[np.float32]:
    """Return a patch of sky with two blended stars, (1, 96, 96, 1), as the network sees it."""
    y, x = np.indices((_SIDE, _SIDE))
    sky = np.random.default_rng(7).normal(size=(_SIDE, _SIDE))
    for place, peak in (((40, 30), 200.0), ((44, 34), 80.0)):
        sky += peak * np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / 6)
    return normalized(sky)[np.newaxis, ..., np.newaxis]


def _channels_first(array: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.moveaxis(array, -1, 1), dtype=np.float32)
