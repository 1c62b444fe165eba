"""A Keras model written as ONNX answers as it did, in any engine that reads ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from astroclean.errors import PluginError
from astroclean.inference.engines.initializers import read_initializers
from astroclean.training.keras_onnx import export_keras

if TYPE_CHECKING:
    from pathlib import Path

keras = pytest.importorskip("keras", reason="Keras is not installed")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def answers(path: Path, **inputs: Any) -> list[Any]:
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, inputs)


def shaken(model: Any, seed: int = 3) -> Any:
    """Give every parameter a value that matters."""
    rng = np.random.default_rng(seed)
    model.set_weights([w + np.abs(rng.normal(0, 0.2, w.shape)) for w in model.get_weights()])
    return model


def pyramid() -> Any:
    """Every layer of images."""
    layers = keras.layers
    image, mask = keras.Input((None, None, 2), name="image"), keras.Input((None, None, 1))
    both = layers.Concatenate()([image, mask])
    fine = layers.Conv2D(4, 3, padding="same", activation="relu", name="fine")(both)
    coarse = layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False, name="coarse")(fine)
    coarse = layers.ReLU()(layers.MaxPooling2D(2, padding="same")(coarse))
    wide = layers.Conv2D(4, 3, padding="same", dilation_rate=2, name="wide")(coarse)
    back = layers.UpSampling2D(4)(layers.Dropout(0.5)(wide))
    smooth = layers.UpSampling2D(4, interpolation="bilinear")(wide)
    summed = layers.Add()([fine, back, smooth])
    slope = layers.PReLU(shared_axes=(1, 2), name="slope")(summed)
    even = layers.BatchNormalization(center=False, scale=False, name="even")(slope)
    first = layers.Conv2D(3, 1, name="first")(layers.BatchNormalization(name="norm")(even))
    return keras.Model([image, mask], [layers.Activation("sigmoid")(first), coarse])


def judge() -> Any:
    """Every layer of numbers."""
    layers = keras.layers
    image = keras.Input((8, 12, 1), name="image")
    maps = layers.PReLU(name="per_pixel")(layers.Conv2D(3, 5, padding="valid", name="c")(image))
    flat = layers.Dense(5, activation="softplus", name="dense")(layers.Flatten()(maps))
    pooled = [layers.GlobalAveragePooling2D()(maps), layers.GlobalMaxPooling2D()(maps)]
    joined = layers.Concatenate()(pooled)
    mean = layers.Dense(5, use_bias=False, name="of_mean")(joined)
    return keras.Model(image, layers.Softmax()(layers.Add()([flat, mean])))


def test_an_image_network_answers_as_in_keras_on_any_grid(tmp_path: Path) -> None:
    model, path = shaken(pyramid()), tmp_path / "pyramid.onnx"
    export_keras(model, path, inputs={"image": 2, "mask": 1}, outputs=("answer", "coarse"))
    rng = np.random.default_rng(5)
    for ny, nx in ((16, 24), (40, 8)):
        image = rng.normal(size=(2, ny, nx, 2)).astype(np.float32)
        mask = rng.normal(size=(2, ny, nx, 1)).astype(np.float32)
        expected = model([image, mask], training=False)
        found = answers(path, image=image.transpose(0, 3, 1, 2), mask=mask.transpose(0, 3, 1, 2))
        for ours, theirs in zip(found, expected, strict=True):
            right = keras.ops.convert_to_numpy(theirs).transpose(0, 3, 1, 2)
            np.testing.assert_allclose(ours, right, rtol=1e-4, atol=1e-5)


def test_a_network_that_judges_answers_as_in_keras(tmp_path: Path) -> None:
    model, path = shaken(judge()), tmp_path / "judge.onnx"
    export_keras(model, path, inputs={"image": 1}, outputs=("chances",))
    image = np.random.default_rng(6).normal(size=(3, 8, 12, 1)).astype(np.float32)
    (found,) = answers(path, image=image.transpose(0, 3, 1, 2))
    right = keras.ops.convert_to_numpy(model(image, training=False))
    np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("side", [1, 2, 3, (4, 5)])
def test_transposed_convolutions_and_leaking_slopes_answer_as_in_keras(
    side: Any, tmp_path: Path
) -> None:
    layers = keras.layers
    image = keras.Input((None, None, 2), name="image")
    spread = layers.Conv2DTranspose(3, side, padding="same", activation="tanh", name="spread")
    bent = layers.LeakyReLU(negative_slope=0.2, name="bent")(spread(image))
    last = layers.Conv2DTranspose(1, side, padding="same", use_bias=False, name="last")(bent)
    model, path = keras.Model(image, last), tmp_path / "spread.onnx"
    rng = np.random.default_rng(8)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    export_keras(model, path, inputs={"image": 2}, outputs=("answer",))
    pixels = rng.normal(size=(2, 9, 12, 2)).astype(np.float32)
    (found,) = answers(path, image=pixels.transpose(0, 3, 1, 2))
    right = keras.ops.convert_to_numpy(model(pixels, training=False)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-5)


def test_initializers_are_named_as_the_variables(tmp_path: Path) -> None:
    """So that the Keras engine can fill the architecture from the file."""
    model, path = pyramid(), tmp_path / "pyramid.onnx"
    export_keras(model, path, inputs={"image": 2, "mask": 1}, outputs=("answer", "coarse"))
    assert {v.path for v in model.trainable_variables} <= set(read_initializers(path))


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 1))
    odd = keras.Model(image, keras.layers.LayerNormalization(name="odd")(image))
    with pytest.raises(PluginError, match=r"layer 'odd'.*LayerNormalization"):
        export_keras(odd, tmp_path / "odd.onnx", inputs={"image": 1}, outputs=("answer",))
    shared = keras.layers.Conv2D(1, 3, padding="same", name="shared")
    twice = keras.Model(image, shared(shared(image)))
    with pytest.raises(PluginError, match="more than once"):
        export_keras(twice, tmp_path / "twice.onnx", inputs={"image": 1}, outputs=("answer",))
    wide = keras.layers.Conv2DTranspose(1, 3, strides=2, padding="same", name="wide")(image)
    with pytest.raises(PluginError, match=r"layer 'wide'.*strides"):
        export_keras(
            keras.Model(image, wide), tmp_path / "w.onnx", inputs={"image": 1}, outputs=("a",)
        )
    bent = keras.Model(image, keras.layers.Conv2D(1, 3, activation="selu", name="bent")(image))
    with pytest.raises(PluginError, match=r"layer 'bent'.*selu"):
        export_keras(bent, tmp_path / "bent.onnx", inputs={"image": 1}, outputs=("answer",))
