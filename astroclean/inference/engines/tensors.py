"""Tensors of a batch by name and in the order of the card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from astroclean.inference.engines.engine import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from astroclean.inference.cards.card import NetworkCard

__all__ = ["checked_inputs", "checked_outputs"]


def checked_inputs(
    card: NetworkCard, inputs: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Return the inputs of a batch in the order of the card.

    Parameters
    ----------
    card : NetworkCard
        The network.
    inputs : mapping of str to (n, channels, ny, nx) float32
        By name.

    Returns
    -------
    dict of str to (n, channels, ny, nx) float32
        The same arrays.

    Raises
    ------
    EngineError
        An input is missing or unknown.
    """
    names = [tensor.name for tensor in card.inputs]
    if set(names) != set(inputs):
        raise EngineError(
            f"needs inputs {', '.join(names)}",
            where=f"network '{card.name}'",
            received=", ".join(inputs) or "none",
        )
    return {name: inputs[name] for name in names}


def checked_outputs(
    card: NetworkCard, answers: Any, converted: Any = None
) -> dict[str, NDArray[np.float32]]:
    """Return an architecture's answer by name.

    Parameters
    ----------
    card : NetworkCard
        The network.
    answers : tensor, sequence of tensors, or mapping of str to tensor
        As returned by the architecture: in the order of the card, or by name.
    converted : callable, optional
        Makes a float32 array of a tensor.

    Returns
    -------
    dict of str to float32 array
        Every output of the card.

    Raises
    ------
    EngineError
        The number or the names of the outputs differ from the card's.
    """
    names = [tensor.name for tensor in card.outputs]
    if hasattr(answers, "keys"):
        found = dict(answers)
    else:
        parts = list(answers) if isinstance(answers, (list, tuple)) else [answers]
        found = dict(zip(names, parts, strict=False)) if len(parts) == len(names) else {}
    if set(names) - set(found):
        raise EngineError(
            f"must answer with {', '.join(names)}",
            where=f"network '{card.name}'",
            received=f"{len(answers)} tensors" if hasattr(answers, "__len__") else "one tensor",
        )
    return {name: found[name] if converted is None else converted(found[name]) for name in names}
