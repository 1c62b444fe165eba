"""What was measured of a network after its training: a file of the plugin beside its card."""

from __future__ import annotations

import hashlib
import tomllib
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["beside"]

Model = TypeVar("Model", bound=BaseModel)


def beside(card: Path, model: type[Model]) -> tuple[Model, str]:
    """Return the calibration that lies beside a card, and its digest.

    Parameters
    ----------
    card : Path
        ``NAME.card.toml``; the calibration is ``NAME.calibration.toml``.
    model : type of BaseModel
        What it says; its defaults are those of a network as it is.

    Returns
    -------
    BaseModel, str
        A network without one, such as one that was just trained, is taken as it is: the digest is
        then ``none``.
    """
    path = card.with_name(card.name.replace(".card.toml", ".calibration.toml"))
    if not path.is_file():
        return model(), "none"
    content = path.read_bytes()
    told = model.model_validate(tomllib.loads(content.decode("utf-8")))
    return told, hashlib.sha256(content).hexdigest()
