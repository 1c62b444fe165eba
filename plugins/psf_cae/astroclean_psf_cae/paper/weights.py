"""Where the variant `paper` has its weights: none are shipped; a training leaves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from astroclean.core.configs import read_toml
from astroclean.core.regular import user_path
from astroclean.errors import ConfigurationError
from astroclean_psf_cae.paper.channels import ChannelSettings

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NAME", "paper_card", "read_settings", "write_settings"]

NAME = "psf-cae-paper"
_CARD, _CHANNELS = ".card.toml", ".channels.toml"


def paper_card(weights: str) -> Path:
    """Return the card that a user names for the variant `paper`.

    Parameters
    ----------
    weights : str
        Path of a card that ``astroclean train psf-cae-paper`` left.

    Returns
    -------
    Path
        An existing file.

    Raises
    ------
    ConfigurationError
        It is none, with how to get one.
    """
    path = user_path(weights)
    if weights.endswith(_CARD) and path.is_file():
        return path
    problem = (
        f"weights: there is no card {weights}"
        if weights.endswith(_CARD)
        else f"weights: the variant 'paper' has none called '{weights}', for none are shipped"
    )
    raise ConfigurationError(
        f"{problem}. Train them with `astroclean train {NAME} --out DIR`, then give "
        f"DIR/results/{NAME}{_CARD}."
    )


def read_settings(card: Path) -> ChannelSettings:
    """Return how the channels of a network are made.

    Parameters
    ----------
    card : Path
        ``NAME.card.toml``; the settings lie beside it, in ``NAME.channels.toml``.

    Raises
    ------
    ConfigurationError
        The file is missing or wrong: other channels than those of the training would give an image
        that looks like one.
    """
    path = card.with_name(card.name.removesuffix(_CARD) + _CHANNELS)
    if not path.is_file():
        raise ConfigurationError(
            f"weights: {path.name} is missing beside {card.name}; the training wrote both, and "
            "without it nobody knows how the channels of the network are made"
        )
    try:
        return ChannelSettings.model_validate(read_toml(path))
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigurationError(problems, where=str(path)) from error


def write_settings(settings: ChannelSettings, folder: Path) -> Path:
    """Write how the channels of a network are made, beside its card; return the file."""
    names = ", ".join(f'"{name}"' for name in settings.names)
    lines = [f"names = [{names}]", f"floor = {settings.floor!r}"]
    if settings.sigma is not None:
        lines.append(f"sigma = {settings.sigma!r}")
    lines.append(f'scaling = "{settings.scaling}"')
    path = folder / f"{NAME}{_CHANNELS}"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path
