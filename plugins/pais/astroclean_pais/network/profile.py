"""The network that draws the profile of one source on a stamp."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from astroclean.training.keras_unet import convolve, decoded, encoded
from astroclean_pais.profiles import ADDED, FAINT, INPUTS, OUTPUTS

__all__ = ["build_profile", "profile_loss"]

_WIDTHS = (16, 32, 48)
_TINY = 1e-9


def build_profile() -> keras.Model:
    """Return the profile network, a U-Net of three resolutions.

    Returns
    -------
    keras.Model
        (n, s, s, 7) of `astroclean_pais.profiles.profile_inputs` to (n, s, s, 2) of `OUTPUTS`;
        sides are multiples of 4. Untrained it answers 0: the present model stays.
    """
    stamp = keras.Input((None, None, len(INPUTS)), name="stamp")
    skips = encoded(stamp, _WIDTHS)
    deepest = convolve(skips[-1], _WIDTHS[-1], "deepest")
    tensor = decoded(deepest, skips, _WIDTHS)
    last = layers.Conv2D(
        len(OUTPUTS), 1, kernel_initializer="zeros", dtype="float32", name="profile"
    )
    return keras.Model(stamp, last(tensor), name="profile")


def profile_loss(target: Any, answer: Any) -> Any:
    """Return how far drawn profiles are from true ones.

    The sum of what is judged: soft intersection over union, cosine, squared error, what the drawn
    profile makes of the flux, and what it leaves of the source, in units of the noise.

    Parameters
    ----------
    target : (n, s, s, 3) tensor
        Present model over its peak; true light, of sum 1; flux over the noise of each pixel, 0
        where a pixel is not usable.
    answer : (n, s, s, 2) tensor
        Of the network.

    Returns
    -------
    tensor
        Mean over the stamps.
    """
    answer = ops.cast(answer, "float32")
    shape, true, weight = target[..., 0], target[..., 1], target[..., 2]
    drawn = shape * ops.exp(3 * ops.tanh(answer[..., 0] / 3))
    drawn = drawn + ADDED * ops.relu(answer[..., 1]) * ops.sqrt(ops.relu(shape) + FAINT)
    drawn = ops.relu(drawn)
    drawn = drawn / (ops.sum(drawn, axis=(1, 2), keepdims=True) + _TINY)
    overlap = _sum(ops.minimum(drawn, true)) / (_sum(ops.maximum(drawn, true)) + _TINY)
    power, wanted, both = _sum(drawn * drawn), _sum(true * true), _sum(drawn * true)
    cosine = both / ops.sqrt(power * wanted + _TINY**2)
    missed = _sum((drawn - true) ** 2) / (wanted + _TINY)
    scaled = drawn * weight
    ratio = _sum(scaled * true * weight) / (_sum(scaled * scaled) + _TINY)
    bias = ops.abs(ops.log(ops.clip(ratio, 0.2, 5.0)))
    left = _sum((weight * (drawn - true)) ** 2) / ops.sqrt(_sum((weight * true) ** 2) + 1.0)
    return ops.mean(
        (1 - overlap) + 2 * (1 - cosine) + 0.5 * missed + 0.5 * bias + 0.1 * ops.log1p(left)
    )


def _sum(image: Any) -> Any:
    return ops.sum(image, axis=(1, 2))
