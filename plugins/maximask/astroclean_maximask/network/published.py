"""`astroclean weights import maximask`: the authors' weights, from their installed package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from astroclean.inference.cards.weights import need_once, published_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["import_published", "published_maximask", "published_maxitrack"]

_DISTRIBUTION, _PACKAGE, _VERSION = "MaxiMask", "maximask_and_maxitrack", "1.4.1"
_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
# Upstream wrote the slopes of its PReLU layers without their names.
_SLOPES = {
    "slope1/alpha": "variables/2",
    "slope2/alpha": "variables/5",
    "slope3/alpha": "variables/8",
    "slope4/alpha": "variables/11",
    "slope5/alpha": "variables/14",
    "dense_slope1/alpha": "variables/17",
    "dense_slope2/alpha": "variables/20",
}


def import_published(folder: Path) -> Sequence[Path]:
    """Write both published networks as ONNX.

    Parameters
    ----------
    folder : Path
        Where.

    Returns
    -------
    sequence of Path
        ``maximask-published.onnx`` and ``maxitrack-published.onnx``.

    Raises
    ------
    PluginError
        MaxiMask 1.4.1, Keras, TensorFlow or onnx is not installed.
    """
    from astroclean.training.keras_onnx import export_keras  # noqa: PLC0415 - only here

    models = {
        "maximask-published.onnx": (published_maximask(), "probabilities"),
        "maxitrack-published.onnx": (published_maxitrack(), "chances"),
    }
    paths = []
    for name, (model, output) in models.items():
        export_keras(model, folder / name, inputs={"pixels": 1}, outputs=(output,))
        paths.append(folder / name)
    return paths


def published_maximask() -> Any:
    """Return the network of the paper with the authors' weights, a `keras.Model`."""
    checkpoint = _checkpoint("maximask")
    from astroclean_maximask.network.network import build_maximask  # noqa: PLC0415 - imports keras

    return _filled(build_maximask(), checkpoint)


def published_maxitrack() -> Any:
    """Return the screening network with the authors' weights, a `keras.Model`."""
    checkpoint = _checkpoint("maxitrack")
    from astroclean_maximask.network.network import build_maxitrack  # noqa: PLC0415 - imports keras

    return _filled(build_maxitrack(), checkpoint)


def _filled(model: Any, checkpoint: Any) -> Any:
    for variable in model.trainable_variables:
        name = _SLOPES.get(variable.path, variable.path)
        variable.assign(checkpoint.get_tensor(f"{name}{_SUFFIX}"))
    return model


def _checkpoint(network: str) -> Any:
    """Open the variables of a network; no code of the package is run."""
    inside = f"{_PACKAGE}/{network}/model/variables"
    folder = published_folder((_DISTRIBUTION, _VERSION), inside, importer="maximask")
    remedy = "`pip install 'astroclean-maximask[train]'`."
    need_once(("tensorflow", "keras", "onnx"), importer="maximask", remedy=remedy)
    import tensorflow as tf  # noqa: PLC0415 - only here

    return tf.train.load_checkpoint(str(folder / "variables"))
