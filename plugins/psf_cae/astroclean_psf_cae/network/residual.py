"""The network that says what to take of each filter, and its loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from astroclean.training.keras_unet import convolve, decoded, encoded
from astroclean_psf_cae.channels import ANSWERS, CHANNELS
from astroclean_psf_cae.filters import STRENGTHS

__all__ = ["TRUTH", "build_residual", "residual_loss"]

_WIDTHS = (24, 48, 80, 128)
_KEPT = 1 + len(STRENGTHS)
_FIT, _REST = CHANNELS.index("fit"), CHANNELS.index("rest0")
TRUTH = ("truth", "fit", *(f"rest{number}" for number in range(len(STRENGTHS))), "scale")
"""Planes that the loss is told: truth, fit and filtered residuals over the local scale, and the
scale, in units of the noise."""
_DEPTH = 3e-4
"""Error over the peak below which an image is as good as it gets."""
_FAINT = 0.03
"""The same, noise of a pixel."""
_WINDOW = 7
_C1, _C2 = 0.01**2, 0.03**2
"""Constants of the structural similarity, for images of peak 1 (Wang et al. 2004)."""


def build_residual() -> keras.Model:
    """Return the network, a U-Net of four resolutions.

    Returns
    -------
    keras.Model
        (n, s, s, 11) of `CHANNELS` to (n, s, s, 7) of `ANSWERS`; sides are multiples of 8.
        Untrained it answers 0: a fifth of the fit, and of each filter.
    """
    planes = keras.Input((None, None, len(CHANNELS)), name="planes")
    skips = encoded(planes, _WIDTHS)
    deepest = convolve(skips[-1], _WIDTHS[-1], "deepest")
    tensor = decoded(deepest, skips, _WIDTHS)
    last = layers.Conv2D(
        len(ANSWERS), 1, kernel_initializer="zeros", dtype="float32", name="answer"
    )
    return keras.Model(planes, last(tensor), name="residual")


def residual_loss(target: Any, answer: Any) -> Any:
    """Return how far results are from the truth.

    The sum of what is judged: the logarithm of the mean square error, structural similarity, the
    flux, and how likely the errors are under those that are told.

    Parameters
    ----------
    target : (n, s, s, 7) tensor
        Of `TRUTH`.
    answer : (n, s, s, 7) tensor
        Of `ANSWERS`.
    """
    answer = ops.cast(answer, "float32")
    truth, fit, rest, scale = target[..., 0], target[..., 1], target[..., 2:-1], target[..., -1]
    chance = ops.softmax(answer[..., :_KEPT], axis=-1)
    drawn = fit + ops.sum(chance[..., 1:] * rest, axis=-1) + answer[..., _KEPT]
    error = (drawn - truth) * scale
    light = truth * scale
    peak = ops.max(light, axis=(1, 2))
    square = ops.mean(error * error, axis=(1, 2))
    depth = ops.log(square + (_DEPTH * peak) ** 2 + _FAINT**2)
    is_source = ops.cast(peak > 0, "float32")
    unit = ops.reshape(ops.maximum(peak, 1e-3), (-1, 1, 1))
    similar = _similarity(drawn * scale / unit, light / unit)
    flux = ops.sum(light, axis=(1, 2))
    missed = ops.sum(error, axis=(1, 2)) / (0.03 * flux + 15.0)
    told = ops.clip(answer[..., _KEPT + 1], -12.0, 6.0)
    ratio = ops.stop_gradient(drawn - truth) * ops.exp(-told)
    # Student's t of four degrees: an error that is told far too small still has a slope.
    likely = ops.mean(told + 2.5 * ops.log1p(0.25 * ratio * ratio), axis=(1, 2))
    return ops.mean(
        0.25 * depth
        + 2.0 * is_source * (1 - similar)
        + 0.1 * ops.minimum(ops.abs(missed), 10.0)
        + 0.05 * likely
    )


def _similarity(first: Any, second: Any) -> Any:
    """Return the structural similarity of images of peak 1, under a flat window of 7 pixels."""

    def mean(image: Any) -> Any:
        return ops.average_pool(image[..., None], _WINDOW, 1, "valid")[..., 0]

    a, b = mean(first), mean(second)
    aa, bb, ab = mean(first * first) - a * a, mean(second * second) - b * b, mean(first * second)
    top = (2 * a * b + _C1) * (2 * (ab - a * b) + _C2)
    bottom = (a * a + b * b + _C1) * (ops.maximum(aa, 0.0) + ops.maximum(bb, 0.0) + _C2)
    return ops.mean(top / bottom, axis=(1, 2))
