"""Which card the variant `talk` uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astroclean.core.regular import user_path
from astroclean.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from astroclean.inference.cards.card import NetworkCard

__all__ = ["NAME", "block_side", "talk_card"]

NAME = "spire-sr-talk"
_CARD = ".card.toml"
_SHIPPED = "astroclean"
_OUTPUTS = ["map"]


def talk_card(folder: Path, weights: str) -> Path:
    """Return the card that a user names for the variant `talk`.

    Parameters
    ----------
    folder : Path
        Of the cards of the plugin.
    weights : str
        ``astroclean``: the shipped ones, where there are any; else the path of a card.

    Returns
    -------
    Path
        An existing file.

    Raises
    ------
    ConfigurationError
        It is none, with how to get one.
    """
    path = folder / f"{NAME}{_CARD}" if weights == _SHIPPED else user_path(weights)
    if path.name.endswith(_CARD) and path.is_file():
        return path
    problem = (
        "the variant 'talk' has none that are shipped"
        if weights == _SHIPPED
        else f"there is no card {weights}"
    )
    raise ConfigurationError(
        f"weights: {problem}. Train them with `astroclean train {NAME} --out DIR`, then give "
        f"DIR/results/{NAME}{_CARD}."
    )


def block_side(card: NetworkCard) -> int:
    """Return the side of the blocks that a network of the talk was trained on, pixels.

    Raises
    ------
    ConfigurationError
        The card is of another network.
    """
    if [output.name for output in card.outputs] != _OUTPUTS or not card.batches:
        raise ConfigurationError(
            f"weights: network '{card.name}' is not of the variant 'talk'. "
            f"`astroclean train {NAME}` makes one."
        )
    return int(card.batches[0][1])
