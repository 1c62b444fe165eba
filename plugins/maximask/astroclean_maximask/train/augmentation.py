"""What training changes in a tile each time that it is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ORIENTATIONS", "measured_anew", "turned"]

ORIENTATIONS = 8


def measured_anew(pixels: NDArray[np.float16], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a stored tile as if sky and noise had been measured a little wrong.

    Parameters
    ----------
    pixels : (ny, nx) float16
        arcsinh of values in units of the noise.
    rng : Generator
        Source of chance.

    Returns
    -------
    (ny, nx) float32
        Values in units of the noise (paper, section 2.3.3).
    """
    values = np.sinh(pixels.astype(np.float32))
    return values * np.float32(rng.uniform(0.9, 1.1)) + np.float32(rng.normal(0, 0.15))


def turned(image: NDArray[Any], turn: int) -> NDArray[Any]:
    """Return an image in one of its eight orientations."""
    flipped = image[:, ::-1] if turn >= ORIENTATIONS // 2 else image
    return np.rot90(flipped, turn % 4)
