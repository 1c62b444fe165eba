"""Write a Keras model as it is shipped: ONNX, a stored answer, and the card of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astroclean.inference.cards.verify import write_example
from astroclean.inference.cards.weights import digest_of
from astroclean.training.keras_onnx import export_keras

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["write_card", "write_network"]


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
