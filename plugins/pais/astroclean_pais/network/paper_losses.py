"""The losses of the paper (section 3.3), with its weights."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["WEIGHTS", "attribution_loss", "center_loss", "vector_loss"]

WEIGHTS = (15.0, 0.06, 1.0)
"""Of the losses of center, vectors and maps; the last holds two, which weigh themselves."""
_CROSS_ENTROPY, _ENTROPY = 4.0, 1.0


def center_loss(target: Any, answer: Any) -> Any:
    """Return the mean squared error of the center-of-mass image."""
    return ops.mean(ops.square(target - answer))


def vector_loss(target: Any, answer: Any) -> Any:
    """Return the mean absolute error of the vectors, in pixels."""
    return ops.mean(ops.abs(target - answer))


def attribution_loss(target: Any, logits: Any) -> Any:
    """Return 4 times the cross-entropy of the maps, and their entropy.

    Most pixels hold no light, so that all shares are equal there. The entropy, a mean over the
    sources, is a cost: a network that answered so everywhere would pay it.

    Parameters
    ----------
    target : (n, ny, nx, sources) tensor
        Shares, adding up to 1.
    logits : (n, ny, nx, sources) tensor
        Of the shares that the network gives.

    Returns
    -------
    tensor
        Mean over pixels.
    """
    told = keras.activations.log_softmax(logits, axis=-1)
    cross = -ops.mean(ops.sum(target * told, axis=-1))
    entropy = -ops.mean(ops.exp(told) * told)
    return _CROSS_ENTROPY * cross + _ENTROPY * entropy
