"""The few operations that numpy and torch name differently."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["namespace", "running_minimum"]


def namespace(array: Any) -> Any:
    """Return the module whose functions take this array: numpy, or torch."""
    if isinstance(array, (np.ndarray, np.generic)):
        return np
    import torch  # noqa: PLC0415 - who has a tensor has torch

    return torch


def running_minimum(array: Any) -> Any:
    """Return the least value so far along the last axis."""
    if isinstance(array, np.ndarray):
        return np.minimum.accumulate(array, axis=-1)
    return namespace(array).cummin(array, -1).values
