"""What maximask writes beside its networks: settings of classes, and an input to try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from astroclean.inference.cards.calibration import ClassSettings

__all__ = ["example_pixels", "write_classes"]


def example_pixels(side: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return a patch of sky with a star, a track and a dead column, (1, side, side, 1)."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:side, :side]
    pixels = rng.normal(size=(side, side))
    pixels += 200 * np.exp(-((x - 20) ** 2 + (y - 40) ** 2) / 6)
    pixels[np.arange(10, 30), np.arange(30, 50)] += 40
    pixels[:, 5] = -8
    return pixels.astype(np.float32)[np.newaxis, ..., np.newaxis]


def write_classes(classes: Mapping[str, ClassSettings], path: Path) -> Path:
    """Write priors and thresholds as `read_classes` reads them."""
    tables = []
    for alias, settings in classes.items():
        lines = [f"{key} = {value:.6g}" for key, value in settings.model_dump().items()]
        tables.append("\n".join([f"[{alias}]", *lines]))
    path.write_text("\n\n".join(tables) + "\n", "utf-8")
    return path
