"""What a training leaves: weights made probabilities, card, classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from astroclean.inference.cards.calibration import ClassSettings
from astroclean.training.keras_shipping import write_card, write_network
from astroclean_maximask.classes import BACKGROUND, CHANNELS, OUTPUTS
from astroclean_maximask.network.calibration import best_threshold, calibrate
from astroclean_maximask.network.export import example_pixels, write_classes
from astroclean_maximask.network.network import build_compact, build_maximask, build_track
from astroclean_maximask.network.scoring import class_counts
from astroclean_maximask.track.average_star import average_star
from astroclean_maximask.track.conditions import CONDITIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "NAME",
    "PAPER_NAME",
    "as_probabilities",
    "export_compact",
    "export_paper",
    "export_track",
    "load_compact",
]

NAME, TRACK_NAME = "maximask-astroclean", "maxitrack-astroclean"
PAPER_NAME = "maximask-paper"
HALO = 96
"""Reach of the compact network in pixels, rounded up to its multiple."""
_HEAD, _PAPER_HEAD = "logits0", "final_conv"
_BATCH = 8
_TRACK_TILE = 256
_EXAMPLE_SIDE = 64
_CARD = """\
schema = 1
name = "{name}"
architecture = "{architecture}"
paper = "10.1051/0004-6361/201936345"
license = "{license}"
unit = "any"
halo = {halo}
multiple = {multiple}
valid_pixels = "finite"
inputs = [{ name = "pixels" }]
normalization = { name = "background_sigma", box = {box}, filter_size = 3{cells} }

[[outputs]]
name = "probabilities"
channels = [{channels}]

[weights]
file = "{name}.onnx"
sha256 = "{sha256}"
size = {size}

[precision.f32]
absolute = 1e-4
relative = 0

[precision.bf16]
absolute = 0.1
relative = 0

[network]
keras = "astroclean_maximask.network.network:{build}"

[domain]
coadd = false
fwhm_pixels = {fwhm}
description = "{domain}"

[example]
file = "{name}.example.npz"
"""
_COMPACT_ENTRIES = {
    "architecture": "U-Net with strided convolutions and sums, five resolutions, 0.38 M parameters",
    "license": "BSD-3-Clause",
    "halo": str(HALO),
    "multiple": "16",
    "box": "128",
    "cells": "",
    "build": "build_compact_probabilities",
    "fwhm": "[1.3, 8.0]",
    "domain": "Simulated single exposures of CCDs, sky noise of 2 to 80 electrons",
}
_WIDE_ENTRIES = {
    **_COMPACT_ENTRIES,
    "architecture": "U-Net with strided convolutions and sums, seven resolutions, "
    "0.63 M parameters",
    # It sees farther than its margin, but what lies beyond changes little.
    "halo": "128",
    "multiple": "64",
    "build": "build_wide_probabilities",
}
_PAPER_ENTRIES = {
    "architecture": "Encoder and decoder with arg-max unpooling and four extra paths, "
    "5.7 M parameters, trained further from published weights",
    "license": "MIT",
    "halo": "128",
    "multiple": "32",
    "box": "200",
    "cells": ", whole_cells = true",
    "build": "build_maximask",
    "fwhm": "[1.3, 8.0]",
    "domain": "Single exposures of CCDs: those of the authors, simulated ones, and the user's",
}
_TRACK_CARD = """\
schema = 1
name = "maxitrack-astroclean"
architecture = "Four convolutions of the average star of a tile, 0.31 M parameters"
paper = "10.1051/0004-6361/201936345"
license = "BSD-3-Clause"
unit = "any"
halo = 0
valid_pixels = "finite"
inputs = [{ name = "average_star" }]
normalization = { name = "background_sigma", box = 128, filter_size = 3 }

[[outputs]]
name = "chances"
channels = [{channels}]

[weights]
file = "maxitrack-astroclean.onnx"
sha256 = "{sha256}"
size = {size}

[precision.f32]
absolute = 1e-4
relative = 0

[network]
keras = "astroclean_maximask.network.network:build_track"

[domain]
coadd = false
description = "Simulated exposures of CCDs: PSF of 1.5 to 8 pixels, 10 to 1500 stars in 256 x 256"

[example]
file = "maxitrack-astroclean.example.npz"
"""


def load_compact(weights: Sequence[NDArray[Any]], *, wide: bool = False) -> Any:
    """Return the compact network without its auxiliary outputs.

    Parameters
    ----------
    weights : sequence of array
        In the order of the variables of the network with auxiliary outputs.
    wide : bool
        Whether they are those of the wide network.

    Returns
    -------
    keras.Model
        Logits at full resolution.
    """
    whole = build_compact(len(CHANNELS), auxiliary=True, wide=wide)
    whole.set_weights(list(weights))
    plain = build_compact(len(CHANNELS), wide=wide)
    values = {variable.path: variable for variable in whole.variables}
    for variable in plain.variables:
        variable.assign(values[variable.path])
    return plain


def as_probabilities(
    logits: Any, samples: Mapping[str, NDArray[Any]], *, head: str = _HEAD
) -> tuple[Any, dict[str, ClassSettings]]:
    """Return the network with calibrated probabilities, and its classes.

    Parameters
    ----------
    logits : keras.Model
        Gives logits at full resolution alone; modified: its last layer takes up the calibration.
    samples : mapping of str to array
        Validation samples, as `SampleMaker` makes them.
    head : str
        Name of the last layer.

    Returns
    -------
    model : keras.Model
        Ends in a sigmoid.
    classes : dict of str to ClassSettings
        With the threshold of the highest MCC, and the frequency in the samples as prior.
    """
    counts = class_counts(logits, samples, batch=_BATCH)
    last = logits.get_layer(head)
    kernel, bias = (np.array(value) for value in last.get_weights())
    classes = {}
    for channel, alias in enumerate(counts):
        found = counts[alias]
        slope, offset = calibrate(found)
        kernel[..., channel] *= slope
        bias[channel] = slope * bias[channel] + offset
        if alias != BACKGROUND:
            true = int(found.positives.sum())
            prior = max(true, 1) / int(true + found.negatives.sum())
            threshold = best_threshold(found, (slope, offset))
            classes[alias] = ClassSettings(
                training_prior=prior, prior=prior, threshold=round(threshold, 4)
            )
    last.set_weights([kernel, bias])
    chances = keras.layers.Activation("sigmoid", name="chances")(logits.outputs[0])
    return keras.Model(logits.input, chances, name=logits.name), classes


def export_compact(
    weights: Sequence[NDArray[Any]],
    samples: Mapping[str, NDArray[Any]],
    folder: Path,
    *,
    wide: bool = False,
) -> list[Path]:
    """Write the compact network, or the wide one, as it is shipped.

    Parameters
    ----------
    weights : sequence of array
        In the order of the variables of the network with auxiliary outputs.
    samples : mapping of str to array
        Validation samples: for calibration and thresholds.
    folder : Path
        Where.
    wide : bool
        Whether they are weights of the wide network.

    Returns
    -------
    list of Path
        ONNX file, example, card, classes.
    """
    model, classes = as_probabilities(load_compact(weights, wide=wide), samples)
    entries = {"name": NAME, **(_WIDE_ENTRIES if wide else _COMPACT_ENTRIES)}
    return _written(model, classes, folder, channels=CHANNELS, entries=entries)


def export_paper(
    weights: Sequence[NDArray[Any]], samples: Mapping[str, NDArray[Any]], folder: Path
) -> list[Path]:
    """Write the network of the paper as it was trained further.

    Parameters
    ----------
    weights : sequence of array
        In the order of the variables of `build_maximask`.
    samples : mapping of str to array
        Validation samples: for calibration and thresholds.
    folder : Path
        Where.

    Returns
    -------
    list of Path
        ONNX file, example, card, classes.
    """
    logits = build_maximask(len(OUTPUTS), logits=True)
    logits.set_weights(list(weights))
    model, classes = as_probabilities(logits, samples, head=_PAPER_HEAD)
    entries = {"name": PAPER_NAME, **_PAPER_ENTRIES}
    return _written(model, classes, folder, channels=OUTPUTS, entries=entries)


def _written(
    model: Any,
    classes: Mapping[str, ClassSettings],
    folder: Path,
    *,
    channels: Sequence[str],
    entries: Mapping[str, str],
) -> list[Path]:
    """Write a network with its card, its example and its classes."""
    name = entries["name"]
    example = example_pixels(_EXAMPLE_SIDE)
    outputs = {"probabilities": channels}
    files = write_network(model, folder, name=name, outputs=outputs, example=example)
    listed = ", ".join(f'"{alias}"' for alias in channels)
    template = _CARD.replace("{channels}", f"\n    {listed},\n")
    for key, value in entries.items():
        template = template.replace(f"{{{key}}}", value)
    card = write_card(template, folder, name=name)
    return [*files, card, write_classes(classes, folder / f"{name}.classes.toml")]


def export_track(weights: Sequence[NDArray[Any]], folder: Path) -> list[Path]:
    """Write the compact screening network as it is shipped.

    Parameters
    ----------
    weights : sequence of array
        In the order of the variables of `build_track`.
    folder : Path
        Where.

    Returns
    -------
    list of Path
        ONNX file, example, card.
    """
    model = build_track(len(CONDITIONS))
    model.set_weights(list(weights))
    star = average_star(example_pixels(_TRACK_TILE)[0, ..., 0])
    files = write_network(
        model,
        folder,
        name=TRACK_NAME,
        outputs={"chances": CONDITIONS},
        example=np.moveaxis(star, 0, -1)[np.newaxis],
    )
    listed = ", ".join(f'"{condition}"' for condition in CONDITIONS)
    template = _TRACK_CARD.replace("{channels}", listed)
    return [*files, write_card(template, folder, name=TRACK_NAME)]
