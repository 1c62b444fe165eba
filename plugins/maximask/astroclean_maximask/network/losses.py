"""The losses of MaxiMask: sigmoid cross-entropy with smoothed weight maps (paper, 3.1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["class_weights", "pooled_cross_entropy", "weight_map"]

_RAREST = 3e-5
"""What is rarer counts as this."""
_DOUBTFUL = 0.1
"""Part of its weight that a doubtful pixel keeps: enough to end a hit somewhere."""
_KERNEL = np.exp(-0.5 * np.array([1.0, 0.0, 1.0]))
_KERNEL /= _KERNEL.sum()


def class_weights(fractions: NDArray[np.float64], *, power: float) -> NDArray[np.float32]:
    """Return the weight of each class.

    Parameters
    ----------
    fractions : (classes,) float64
        Part of the pixels that each class has in some samples. A class that is not among them
        weighs as little as the commonest: nobody knows how rare it is, and one overscan with the
        weight of a dead pixel would outweigh all that the other samples teach.
    power : float
        1 weighs by the inverse of the fraction (paper, equation 15), 0 not at all. Between them
        rare classes are learned in time, and common ones are not drowned in false alarms.

    Returns
    -------
    (classes,) float32
        Normalized so that the weights of all pixels would have the mean 1, were classes exclusive.
    """
    known = np.where(fractions > 0, fractions, fractions.max())
    raw = np.maximum(known, _RAREST) ** -power
    return np.asarray(raw / (raw * fractions).sum() * fractions.sum(), dtype=np.float32)


def weight_map(
    labels: NDArray[np.float32], weights: NDArray[np.float32], doubtful: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return the weight of each pixel, smoothed so that the rim of a rare thing counts as it does.

    Parameters
    ----------
    labels : (n, ny, nx, classes) float32
        1 where a class is true, else 0.
    weights : (classes,) float32
        From `class_weights`.
    doubtful : (n, ny, nx) bool
        Pixels whose truth is a matter of taste, such as the rims of hits: they weigh little.

    Returns
    -------
    (n, ny, nx) float32
        The greatest weight of a pixel's classes, after a Gaussian of 3 x 3 pixels and unit standard
        deviation. (The paper's sum counts overlaps twice.)
    """
    raw = (labels * weights).max(axis=-1)
    padded = np.pad(raw, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = sum(part * padded[:, i : i + raw.shape[1]] for i, part in enumerate(_KERNEL))
    smooth: Any = sum(part * rows[:, :, i : i + raw.shape[2]] for i, part in enumerate(_KERNEL))
    return np.asarray(np.where(doubtful, _DOUBTFUL * smooth, smooth), dtype=np.float32)


def pooled_cross_entropy(target: Any, logits: Any) -> Any:
    """Return the weighted sigmoid cross-entropy; on a coarser grid a class is where any pixel is.

    Parameters
    ----------
    target : (n, ny, nx, classes + 1) tensor
        Labels, and the weight of each pixel.
    logits : (n, ny / k, nx / k, classes) tensor
        Answers on the grid of the target or a coarser one.

    Returns
    -------
    tensor
        Mean over pixels, sum over classes.
    """
    factor = target.shape[1] // logits.shape[1]
    if factor > 1:
        target = keras.ops.max_pool(target, factor, strides=factor)
    labels, weights = target[..., :-1], target[..., -1:]
    entropy = (
        keras.ops.relu(logits)
        - logits * labels
        + keras.ops.log1p(keras.ops.exp(-keras.ops.abs(logits)))
    )
    return keras.ops.mean(keras.ops.sum(entropy * weights, axis=-1))
