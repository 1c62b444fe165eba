"""The finder: where sources are, and what each is like, at every pixel."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from astroclean_pais.features import CHANNELS

__all__ = ["HEADS", "build_finder"]

HEADS = ("centre", "y", "x", "flux", "radius", "e1", "e2", "star", "blend")
"""Channels of the answer: logit of a centre; place of the nearest centre from the pixel, pixels;
logarithm of flux over (noise x FWHM in pixels) and of half-light radius over FWHM; ellipticity;
logit of a star, and of a second source that nobody could tell from it."""
_WIDTHS = (20, 32, 48, 64, 80)
"""Filters at full resolution, 1/2, 1/4, 1/8, 1/16."""
_MIXED = 32
_RARE = -4.0
"""Logit of a centre before anything is learned."""


def _convolve(tensor: Any, filters: int, name: str, *, stride: int = 1) -> Any:
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


def build_finder() -> keras.Model:
    """Return the finder, a U-Net of five resolutions.

    Returns
    -------
    keras.Model
        (n, ny, nx, 6) `astroclean_pais.features.features` to (n, ny, nx, 9) of `HEADS`; sides are
        multiples of 16.
    """
    planes = keras.Input((None, None, len(CHANNELS)), name="planes")
    tensor, skips = planes, []
    for level, width in enumerate(_WIDTHS):
        tensor = _convolve(tensor, width, f"down{level}_0", stride=2 if level else 1)
        tensor = _convolve(tensor, width, f"down{level}_1")
        skips.append(tensor)
    for level in reversed(range(len(_WIDTHS) - 1)):
        width = _WIDTHS[level]
        narrow = layers.Conv2D(width, 1, name=f"narrow{level}")(tensor)
        finer = layers.UpSampling2D(2, name=f"finer{level}")(narrow)
        tensor = layers.Add(name=f"sum{level}")([finer, skips[level]])
        tensor = _convolve(tensor, width, f"up{level}_0")
        tensor = _convolve(tensor, width, f"up{level}_1")
    mixed = _convolve(layers.Concatenate(name="joined")([tensor, skips[0]]), _MIXED, "mixed")
    first = [_RARE, *[0.0] * (len(HEADS) - 1)]
    maps = layers.Conv2D(
        len(HEADS),
        1,
        dtype="float32",
        bias_initializer=keras.initializers.Constant(np.array(first, dtype=np.float32)),
        name="maps",
    )
    return keras.Model(planes, maps(mixed), name="finder")
