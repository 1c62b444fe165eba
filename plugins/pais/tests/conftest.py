"""Scenes of round Gaussians whose every pixel is known."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from astroclean.core.sources.sources import SourceStamp

if TYPE_CHECKING:
    from collections.abc import Callable

# BLAS's own threads make small matrices slow where the cores are busy. It reads this when loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def profile() -> Callable[..., SourceStamp]:
    """Return a function that draws a Gaussian of unit flux: (id, x, y), sigma, half side."""

    def drawn(
        number: int, x: float, y: float, *, sigma: float = 1.5, half: int = 10
    ) -> SourceStamp:
        row, column = round(y), round(x)
        yy, xx = np.mgrid[row - half : row + half + 1, column - half : column + half + 1]
        light = np.exp(-((yy - y) ** 2 + (xx - x) ** 2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)
        return SourceStamp(number, (row - half, column - half), light.astype(np.float32))

    return drawn


@pytest.fixture(scope="session")
def design() -> Callable[..., np.ndarray]:
    """Return a function that makes the dense design matrix of profiles on an image."""

    def dense(profiles: Any, shape: tuple[int, int]) -> np.ndarray:
        columns = []
        for one in profiles:
            image = np.zeros(shape)
            one.add_to(image)
            columns.append(image.ravel())
        return np.array(columns).T

    return dense
