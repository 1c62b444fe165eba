"""Architectures in Keras 3: the paper's, and a compact one for CPUs."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from astroclean_maximask.network.layers import (
    Arcsinh,
    ArgMaxPool,
    ArgMaxUnpool,
    BinnedLight,
    LightAndDetail,
)
from astroclean_maximask.track.average_star import INPUT, SIDE

__all__ = [
    "build_compact",
    "build_compact_probabilities",
    "build_maximask",
    "build_maxitrack",
    "build_track",
    "build_wide_probabilities",
]

_ENCODER = (
    (("conv1", 32),),
    (("conv2", 64),),
    (("conv3_1", 128), ("conv3_2", 128)),
    (("conv4_1", 256), ("conv4_2", 256)),
    (("conv5_1", 256), ("conv5_2", 256)),
)
"""Names, as in the published weights, and filters of the convolutions at each resolution."""
_DECODER: tuple[tuple[tuple[str, int | None], ...], ...] = (
    (("upconv5_2", 256), ("upconv5_1", 256)),
    (("upconv4_2", 256), ("upconv4_1", 128)),
    (("upconv3_2", 128), ("upconv3_1", 64)),
    (("upconv2", 32),),
    (("upconv1", None),),
)
_EXTRA = {2: 32, 3: 64, 4: 128}
"""Filters of the extra paths at each resolution below the full one."""
_WIDTHS = (16, 32, 48, 64, 80)
"""Filters at full resolution, 1/2, 1/4, 1/8, 1/16."""
_FINE = len(_WIDTHS) - 1
"""Resolutions from this one on are those of the wide network alone, or feed them: what they see,
large things, is added to what is finer."""
_BINNED = (2, 4, 6)
"""Resolutions at which the wide network is given the binned pixels beside the features."""
_WIDE = ((80, 2), (80, 2))
"""Filters and convolutions of its further resolutions, 1/32 and 1/64."""
_MIXED = 32
"""Features from which the answer at full resolution is made."""
_DEPTHS = (2, 2, 3, 2, 3)
"""Convolutions of the encoder at each resolution."""
_TRACK_WIDTHS = (16, 24, 32, 48)
"""Filters of the screening network, each level at half the resolution of the one before."""


def _convolve(tensor: Any, filters: int, name: str, *, stride: int = 1) -> Any:
    return layers.Conv2D(filters, 3, strides=stride, padding="same", activation="relu", name=name)(
        tensor
    )


def build_maximask(outputs: int = 14, *, logits: bool = False) -> keras.Model:
    """Return the network of the paper (5.7 M parameters; figure 10, table 5).

    Wired as the published weights are: the encoder's features are added to what is unpooled, and
    four extra paths take each level of the decoder to full resolution.

    Parameters
    ----------
    outputs : int
        Classes.
    logits : bool
        Whether to leave out the last sigmoid, for a loss that takes logits.

    Returns
    -------
    keras.Model
        (n, ny, nx, 1) in units of the noise of the sky to (n, ny, nx, outputs) probabilities or
        logits.
    """
    pixels = keras.Input((None, None, 1), name="pixels")
    tensor = Arcsinh(name="compress", dtype="float32")(pixels)
    skips, places = [], []
    for level, names in enumerate(_ENCODER, 1):
        for name, filters in names:
            tensor = _convolve(tensor, filters, name)
        skips.append(tensor)
        tensor, place = ArgMaxPool(name=f"pool{level}")(tensor)
        places.append(place)
    tensor = _convolve(tensor, 256, "convmid")

    def unpooled(values: Any, level: int, name: str) -> Any:
        fed = (values, places[level - 1], skips[level - 1])
        return ArgMaxUnpool(name=f"{name}_unpool{level}")(fed)

    decoded = {}
    for level, convolutions in zip((5, 4, 3, 2, 1), _DECODER, strict=True):
        back = unpooled(tensor, level, "up")
        tensor = layers.Add(name=f"sum{level}")([back, skips[level - 1]])
        for name, width in convolutions:
            tensor = _convolve(tensor, width or outputs, name)
        decoded[level] = tensor
    ends = [tensor]
    for path in (4, 3, 2, 1):
        tensor = decoded[path + 1]
        for level in range(path, 0, -1):
            filters = outputs if level == 1 else _EXTRA[level]
            name = f"ucp{path}_conv{level}"
            tensor = _convolve(unpooled(tensor, level, f"ucp{path}"), filters, name)
        ends.append(tensor)
    joined = layers.Concatenate(name="joined")(ends)
    bend = None if logits else "sigmoid"
    final = layers.Conv2D(
        outputs, 3, padding="same", activation=bend, dtype="float32", name="final_conv"
    )
    return keras.Model(pixels, final(joined), name="maximask")


def build_maxitrack(side: int = 400) -> keras.Model:
    """Return the screening network of the paper (8.3 M parameters; figure 11, table 6).

    Parameters
    ----------
    side : int
        Pixels of a tile; the slopes of its PReLU belong to single pixels.

    Returns
    -------
    keras.Model
        (n, side, side, 1) in units of the noise of the sky to (n, 2) probabilities: good, bad.
    """
    pixels = keras.Input((side, side, 1), name="pixels")
    tensor = Arcsinh(name="compress", dtype="float32")(pixels)
    for index, filters in enumerate((16, 32, 64, 128, 128), 1):
        tensor = layers.Conv2D(filters, 9, padding="same", name=f"conv{index}")(tensor)
        tensor = layers.MaxPooling2D(2)(layers.PReLU(name=f"slope{index}")(tensor))
    tensor = layers.Flatten()(tensor)
    for index in (1, 2):
        tensor = layers.PReLU(name=f"dense_slope{index}")(
            layers.Dense(64, name=f"dense{index}")(tensor)
        )
        tensor = layers.Dropout(0.5)(tensor)
    chances = layers.Softmax(dtype="float32")(layers.Dense(2, name="dense3")(tensor))
    return keras.Model(pixels, chances, name="maxitrack")


def build_compact(outputs: int = 16, *, auxiliary: bool = False, wide: bool = False) -> keras.Model:
    """Return the compact network: a U-Net whose decoder adds what the encoder saw.

    Strided convolutions take the place of arg-max pooling, sums of concatenations, so that a pixel
    costs 20 000 multiplications where the paper's network needs 150 000. The wide network has two
    coarser resolutions more, which cost next to nothing, and sees binned pixels: whole trails,
    fringes and clouds.

    Parameters
    ----------
    outputs : int
        Classes.
    auxiliary : bool
        Whether also to return the logits at 1/2 to 1/8 of the resolution, for losses of their own
        (paper, section 3.1.2).
    wide : bool
        Whether it is the wide network.

    Returns
    -------
    keras.Model
        (n, ny, nx, 1) in units of the noise of the sky to (n, ny, nx, outputs) logits. Sides are
        multiples of 16, of the wide network of 64.
    """
    shape = [*zip(_WIDTHS, _DEPTHS, strict=True), *(_WIDE if wide else ())]
    pixels = keras.Input((None, None, 1), name="pixels")
    tensor = LightAndDetail(name="compress", dtype="float32")(pixels)
    skips = []
    for level, (width, depth) in enumerate(shape):
        for index in range(depth):
            stride = 2 if level and not index else 1
            tensor = _convolve(tensor, width, f"down{level}_{index}", stride=stride)
            if wide and level in _BINNED and not index:
                tensor = layers.Add(name=f"seen{level}")([tensor, _binned(pixels, level, width)])
        skips.append(tensor)
    logits = []
    for level in reversed(range(len(shape) - 1)):
        width, _ = shape[level]
        # Zero at first: what the compact network has learned stays what it was.
        first = "zeros" if level == _FINE else "glorot_uniform"
        narrow = layers.Conv2D(width, 1, kernel_initializer=first, name=f"narrow{level}")(tensor)
        finer = layers.UpSampling2D(2, name=f"finer{level}")(narrow)
        tensor = layers.Add(name=f"sum{level}")([finer, skips[level]])
        if level < _FINE:
            tensor = _convolve(tensor, width, f"up{level}")
        if level == 0:
            # Single pixels are told at full resolution: the first features speak for themselves.
            joined = layers.Concatenate(name="joined")([tensor, skips[0]])
            mixed = layers.Conv2D(_MIXED, 1, activation="relu", name="mix")(joined)
            # Features have large means in common. Along these the last layer would learn fast, and
            # in all other directions, those that tell rare classes, hardly at all.
            tensor = layers.BatchNormalization(
                center=False, scale=False, dtype="float32", name="even"
            )(mixed)
        if level == 0 or (auxiliary and level < _FINE):
            head = layers.Conv2D(outputs, 1, dtype="float32", name=f"logits{level}")
            logits.append(head(tensor))
    name = "maximask_wide" if wide else "maximask_compact"
    return keras.Model(pixels, logits[::-1] if auxiliary else logits[-1], name=name)


def _binned(pixels: Any, level: int, width: int) -> Any:
    """Return the features that a resolution makes of the binned pixels alone."""
    light = BinnedLight(2**level, name=f"binned{level}", dtype="float32")(pixels)
    first = {"kernel_initializer": "zeros", "name": f"light{level}"}
    return layers.Conv2D(width, 3, padding="same", **first)(light)


def build_compact_probabilities() -> keras.Model:
    """Return the compact network as it is shipped: calibrated probabilities at full resolution."""
    return _probabilities(build_compact())


def build_wide_probabilities() -> keras.Model:
    """Return the wide network as it is shipped: calibrated probabilities at full resolution."""
    return _probabilities(build_compact(wide=True))


def _probabilities(logits: keras.Model) -> keras.Model:
    chances = layers.Activation("sigmoid", name="chances")(logits.outputs[0])
    return keras.Model(logits.input, chances, name=logits.name)


def build_track(outputs: int = 4) -> keras.Model:
    """Return the compact screening network: convolutions of what a star looks like on the tile.

    Given whole tiles, such a network must first learn what a star is, for which it needs many
    times the exposures.

    Parameters
    ----------
    outputs : int
        Conditions: good first, then the ways in which an exposure is spoiled.

    Returns
    -------
    keras.Model
        (n, 81, 81, 2), as `average_star` gives it, to (n, outputs) probabilities.
    """
    star = keras.Input((SIDE, SIDE, 2), name=INPUT)
    tensor = star
    for level, filters in enumerate(_TRACK_WIDTHS):
        made = layers.Conv2D(
            filters,
            3,
            strides=2 if level else 1,
            padding="same",
            use_bias=False,
            name=f"down{level}",
        )(tensor)
        even = layers.BatchNormalization(momentum=0.95, name=f"even{level}")(made)
        tensor = layers.ReLU(name=f"bent{level}")(even)
    tensor = layers.Dropout(0.4)(layers.Flatten()(tensor))
    tensor = layers.Dropout(0.3)(layers.Dense(48, activation="relu", name="hidden")(tensor))
    chances = layers.Dense(outputs, dtype="float32", name="conditions")(tensor)
    return keras.Model(star, layers.Softmax(dtype="float32")(chances), name="maxitrack_compact")
