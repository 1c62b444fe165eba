"""What U-Nets in Keras are made of; needs keras, which only training has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras import layers

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["convolve", "decoded", "encoded"]


def convolve(tensor: Any, filters: int, name: str, *, stride: int = 1) -> Any:
    """Return a tensor after a convolution of 3 x 3 and a ReLU."""
    layer = layers.Conv2D(
        filters,
        3,
        strides=stride,
        padding="same",
        activation="relu",
        kernel_initializer="he_normal",
        name=name,
    )
    return layer(tensor)


def encoded(tensor: Any, widths: Sequence[int]) -> list[Any]:
    """Return the features at each resolution, the full one first; each is half of the one before.

    Parameters
    ----------
    tensor : (n, ny, nx, channels) tensor
        Sides are multiples of two to the number of resolutions less one.
    widths : sequence of int
        Filters at each resolution.
    """
    features = []
    for level, width in enumerate(widths):
        tensor = convolve(tensor, width, f"down{level}_0", stride=2 if level else 1)
        tensor = convolve(tensor, width, f"down{level}_1")
        features.append(tensor)
    return features


def decoded(tensor: Any, features: Sequence[Any], widths: Sequence[int]) -> Any:
    """Return a tensor of the coarsest resolution at the full one, joined with what was encoded.

    Parameters
    ----------
    tensor : tensor
        On the grid of the last of the features.
    features : sequence of tensor
        As `encoded` gives them.
    widths : sequence of int
        As of `encoded`.
    """
    for level in reversed(range(len(widths) - 1)):
        width = widths[level]
        narrow = layers.Conv2D(width, 1, name=f"narrow{level}")(tensor)
        finer = layers.UpSampling2D(2, name=f"finer{level}")(narrow)
        tensor = layers.Add(name=f"sum{level}")([finer, features[level]])
        tensor = convolve(tensor, width, f"up{level}_0")
        tensor = convolve(tensor, width, f"up{level}_1")
    return tensor
