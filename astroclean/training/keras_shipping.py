"""Write a Keras model as it is shipped: ONNX, a stored answer, and the card of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.inference.cards.verify import write_example
from astroclean.inference.cards.weights import digest_of
from astroclean.training.keras_onnx import export_keras

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["PlanesCard", "ship_network", "write_card", "write_network"]

_CARD = """\
schema = 1
name = "{name}"
architecture = "{architecture}"
paper = "{paper}"
license = "BSD-3-Clause"
unit = "any"
halo = {halo}
multiple = {multiple}
{batches}inputs = [{{ name = "{entry}", channels = {inputs}, content = "extra" }}]
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

{precision}{network}[domain]
fwhm_pixels = [{fwhm}]
description = "{description}"

[example]
file = "{name}.example.npz"
"""


@dataclass(frozen=True, kw_only=True)
class PlanesCard:
    """The card of a network with one input, planes that its stage makes, and one output."""

    name: str
    architecture: str
    """With ``{millions}`` where the number of parameters is told."""
    halo: int
    """Pixels around one that its answer depends on."""
    multiple: int
    """Sides are multiples of it."""
    answer: str
    """Name of the output."""
    channels: tuple[str, ...]
    """Of the output."""
    fwhm: tuple[float, float]
    """Narrowest and widest PSF of the training, pixels."""
    description: str
    """What it was trained on."""
    batches: tuple[tuple[int, int, int], ...] = ()
    """(n, ny, nx) that engines may prepare for."""
    builder: str | None = None
    """``module:function`` that builds it in Keras; None: none does without arguments."""
    paper: str = "none"
    precision: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: {"f32": (2e-3, 2e-3)}
    )
    """Arithmetic to absolute and relative tolerance."""

    def text(self, model: Any) -> str:
        """Return the card as TOML, with ``{sha256}`` and ``{size}`` for `write_card`."""
        entry = model.inputs[0]
        precisions = (
            f"[precision.{name}]\nabsolute = {absolute:g}\nrelative = {relative:g}\n\n"
            for name, (absolute, relative) in self.precision.items()
        )
        batches = [list(batch) for batch in self.batches]
        return _CARD.format(
            name=self.name,
            architecture=self.architecture.format(millions=model.count_params() / 1e6),
            paper=self.paper,
            halo=self.halo,
            multiple=self.multiple,
            batches=f"batches = {batches}\n" if batches else "",
            entry=entry.name,
            inputs=entry.shape[-1],
            answer=self.answer,
            channels=", ".join(f'"{channel}"' for channel in self.channels),
            precision="".join(precisions),
            network=f'[network]\nkeras = "{self.builder}"\n\n' if self.builder else "",
            fwhm=", ".join(map(str, self.fwhm)),
            description=self.description,
        )


def ship_network(
    model: Any, example: NDArray[np.float32], folder: Path, card: PlanesCard
) -> list[Path]:
    """Write a network as it is shipped.

    Parameters
    ----------
    model : keras.Model
        Trained, of one input and one output.
    example : (1, ny, nx, channels) float32
        An input whose answer is stored.
    folder : Path
        Where.
    card : PlanesCard
        What its card says.

    Returns
    -------
    list of Path
        ONNX file, example, card.
    """
    outputs = {card.answer: card.channels}
    files = write_network(model, folder, name=card.name, outputs=outputs, example=example)
    return [*files, write_card(card.text(model), folder, name=card.name)]


def write_network(
    model: Any,
    folder: Path,
    *,
    name: str,
    outputs: Mapping[str, Sequence[str]],
    example: NDArray[np.float32],
) -> list[Path]:
    """Write the weights of a model and an input with its answer.

    Parameters
    ----------
    model : keras.Model
        One input.
    folder : Path
        Where.
    name : str
        Of the network.
    outputs : mapping of str to sequence of str
        Names of the outputs, with their channels.
    example : (1, ny, nx, channels) float32
        An input whose answer is stored.

    Returns
    -------
    list of Path
        ONNX file and example.
    """
    weights, stored = folder / f"{name}.onnx", folder / f"{name}.example.npz"
    entry = model.inputs[0]
    key = str(entry.name)
    export_keras(model, weights, inputs={key: entry.shape[-1]}, outputs=tuple(outputs))
    answers = model(example, training=False)
    answers = answers if isinstance(answers, (list, tuple)) else [answers]
    told = {n: _channels_first(a) for n, a in zip(outputs, answers, strict=True)}
    write_example(stored, {key: _channels_first(example)}, told)
    return [weights, stored]


def _channels_first(tensor: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    array = np.asarray(tensor, dtype=np.float32)
    return np.ascontiguousarray(np.moveaxis(array, -1, 1)) if array.ndim > 2 else array  # noqa: PLR2004


def write_card(template: str, folder: Path, *, name: str) -> Path:
    """Write the card of a network whose weights are written.

    Parameters
    ----------
    template : str
        TOML with ``{sha256}`` and ``{size}``.
    folder : Path
        That holds the weights.
    name : str
        Of the network.

    Returns
    -------
    Path
        The card.
    """
    weights = folder / f"{name}.onnx"
    card = folder / f"{name}.card.toml"
    text = template.replace("{sha256}", digest_of(weights))
    card.write_text(text.replace("{size}", str(weights.stat().st_size)), "utf-8")
    return card
