"""The autoencoder of the paper in Keras 3 (Sreejith et al. 2023, section III.2 and figure 1)."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

__all__ = ["INPUT", "MULTIPLE", "OUTPUT", "build_paper"]

INPUT, OUTPUT = "channels", "image"
_WIDTHS = (64, 128, 256)
"""Filters of the encoder; the decoder has them in the opposite order."""
MULTIPLE = 2 ** len(_WIDTHS)
"""Sides of the input are multiples of this."""
_SLOPE = 0.3
"""Of LeakyReLU below 0. The text that we have lost the number; this is what Keras takes."""


def build_paper(channels: int = 3) -> keras.Model:
    """Return the autoencoder, fully convolutional.

    Parameters
    ----------
    channels : int
        Of the input; 1 to 3 in the paper, for each of its bands.

    Returns
    -------
    keras.Model
        (n, ny, nx, ``channels``) to (n, ny, nx, 1), not below 0, as bright as the training's
        truths, whose maximum is 1. Sides are multiples of 8. One band, hence one output, where the
        paper has three. There is no way around the coarsest of its grids: what lies there on one
        pixel of eight is all that it knows.
    """
    pixels = keras.Input((None, None, channels), name=INPUT)
    tensor = pixels
    for level, width in enumerate(_WIDTHS):
        convolve = layers.Conv2D(width, 3, padding="same", name=f"down{level}")
        tensor = _bent(convolve(tensor), f"down{level}")
        tensor = layers.MaxPooling2D(2, name=f"down{level}_pooled")(tensor)
        tensor = layers.BatchNormalization(name=f"down{level}_even")(tensor)
    for level, width in reversed(list(enumerate(_WIDTHS))):
        spread = layers.Conv2DTranspose(width, 3, padding="same", name=f"up{level}")
        tensor = _bent(spread(tensor), f"up{level}")
        tensor = layers.UpSampling2D(2, name=f"up{level}_finer")(tensor)
        tensor = layers.BatchNormalization(name=f"up{level}_even")(tensor)
    last = layers.Conv2D(1, 3, padding="same", activation="softplus", dtype="float32", name=OUTPUT)
    return keras.Model(pixels, last(tensor), name="psf_cae_paper")


def _bent(tensor: Any, name: str) -> Any:
    return layers.LeakyReLU(negative_slope=_SLOPE, name=f"{name}_bent")(tensor)
