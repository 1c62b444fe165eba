"""Which distribution brings a plugin that is not installed: data, not a list in the code."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from astroclean.core.configs import config_folders, read_toml

__all__ = ["distribution_of", "how_to_get", "known_distributions"]


@cache
def known_distributions() -> dict[str, dict[str, Any]]:
    """Return what ``configs/distributions.toml`` tells.

    Returns
    -------
    dict
        Distribution to ``plugins``, the names that users type, and ``trainers``; ``masters`` are
        the plugins that make masters, where it has some.
    """
    return read_toml(config_folders()[-1] / "distributions.toml")


def distribution_of(name: str, offer: Literal["plugins", "trainers"] = "plugins") -> str | None:
    """Return the distribution of this repository that brings a plugin, installed or not.

    Parameters
    ----------
    name : str
        Name of the plugin, or of the trainer.
    offer : str
        Which of the two.

    Returns
    -------
    str or None
        None for a third party's, or for nobody's.
    """
    owners = (owner for owner, offers in known_distributions().items() if name in offers[offer])
    return next(owners, None)


def how_to_get(name: str, offer: Literal["plugins", "trainers"] = "plugins") -> str | None:
    """Return a sentence that says what to install for a plugin that is missing.

    Parameters
    ----------
    name, offer : str
        As for :func:`distribution_of`.

    Returns
    -------
    str or None
        With the command to type; None where it is not known.
    """
    owner = distribution_of(name, offer)
    if owner is None:
        return None
    wanted = owner if offer == "plugins" else f"'{owner}[train]'"
    return f"It comes with {owner}: `python -m pip install {wanted}`."
