"""Where the networks lie: in this package, in the user's cache, or in the folder of a training."""

from __future__ import annotations

from pathlib import Path

from astroclean.inference.cards.card import load_card, named_card
from astroclean.inference.cards.weights import find_weights

__all__ = ["card_path", "start_path"]

_CARDS = Path(__file__).parent / "cards"


def card_path(network: str, weights: str) -> Path:
    """Return the card of a set of weights.

    Parameters
    ----------
    network : str
        ``maximask`` or ``maxitrack``.
    weights : str
        A name of weights that have a card here, or the path of a card that a training left.

    Returns
    -------
    Path
        An existing file.

    Raises
    ------
    ConfigurationError
        There is no such card.
    """
    return named_card(_CARDS, network, weights)


def start_path(network: str, start: str) -> Path:
    """Return the ONNX file that a recipe's ``start`` names: that of a card, or a path.

    Parameters
    ----------
    network : str
        ``maximask`` or ``maxitrack``.
    start : str
        ``astroclean``, ``published``, the path of a card, or an ONNX file.

    Returns
    -------
    Path
        Of a card, weights with its hash; an ONNX file need not exist.

    Raises
    ------
    ConfigurationError
        There is no such card.
    MissingWeightsError
        The published weights have not been imported.
    """
    if start.endswith(".onnx"):
        return Path(start).expanduser()
    return find_weights(load_card(card_path(network, start)))
