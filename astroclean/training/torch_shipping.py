"""Write a PyTorch module as it is shipped: ONNX, a stored answer, and the card of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from astroclean.inference.cards.verify import write_example
from astroclean.inference.cards.weights import digest_of
from astroclean.training.torch_onnx import export_torch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["ship_module"]


def ship_module(
    module: Any,
    folder: Path,
    *,
    card: str,
    fields: Mapping[str, Any],
    example: Mapping[str, NDArray[Any]],
    outputs: Mapping[str, int],
) -> list[Path]:
    """Write a module, its card, and an input with its answer.

    Parameters
    ----------
    module : torch.nn.Module
        Put into evaluation.
    folder : Path
        Where.
    card : str
        Text of the card with ``{name}``, ``{millions}`` (of parameters), ``{sha256}`` and
        ``{size}`` of the weights, and the further fields.
    fields : mapping of str to Any
        What the card tells: ``name``, and whatever else it asks for.
    example : mapping of str to array
        Names of the inputs, in order, with the images (n, channels, ny, nx) that are stored.
    outputs : mapping of str to int
        Names of the outputs, in order, with their channels.

    Returns
    -------
    list of Path
        ONNX file, card, example.
    """
    import torch  # noqa: PLC0415 - takes a second, and only training needs it

    name = fields["name"]
    weights, path, stored = (
        folder / f"{name}{suffix}" for suffix in (".onnx", ".card.toml", ".example.npz")
    )
    module.eval()
    inputs = {key: values.shape[1] for key, values in example.items()}
    export_torch(module, weights, inputs=inputs, outputs=outputs)
    told = {
        "millions": sum(parameter.numel() for parameter in module.parameters()) / 1e6,
        "sha256": digest_of(weights),
        "size": weights.stat().st_size,
    }
    path.write_text(card.format(**told, **fields), "utf-8")
    with torch.inference_mode():
        answer = module(*(torch.from_numpy(values) for values in example.values()))
    answers = answer if isinstance(answer, tuple) else (answer,)
    found = {key: values.numpy() for key, values in zip(outputs, answers, strict=True)}
    write_example(stored, example, found)
    return [weights, path, stored]
