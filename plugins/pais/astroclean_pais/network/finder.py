"""The finder: where sources are, and what each is like, at every pixel."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from astroclean.training.keras_unet import convolve, decoded, encoded
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


def build_finder() -> keras.Model:
    """Return the finder, a U-Net of five resolutions.

    Returns
    -------
    keras.Model
        (n, ny, nx, 6) `astroclean_pais.features.features` to (n, ny, nx, 9) of `HEADS`; sides are
        multiples of 16.
    """
    planes = keras.Input((None, None, len(CHANNELS)), name="planes")
    skips = encoded(planes, _WIDTHS)
    tensor = decoded(skips[-1], skips, _WIDTHS)
    mixed = convolve(layers.Concatenate(name="joined")([tensor, skips[0]]), _MIXED, "mixed")
    first = [_RARE, *[0.0] * (len(HEADS) - 1)]
    maps = layers.Conv2D(
        len(HEADS),
        1,
        dtype="float32",
        bias_initializer=keras.initializers.Constant(np.array(first, dtype=np.float32)),
        name="maps",
    )
    return keras.Model(planes, maps(mixed), name="finder")
