"""The autoencoder of the paper: its shape, its reach, and that it is the same in ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from astroclean.training.keras_onnx import export_keras

if TYPE_CHECKING:
    from pathlib import Path

keras = pytest.importorskip("keras", reason="Keras is not installed")

from astroclean_psf_cae.paper import export, restore  # noqa: E402
from astroclean_psf_cae.paper.network import INPUT, MULTIPLE, OUTPUT, build_paper  # noqa: E402


def onnxruntime_answer(path: Path, pixels: Any) -> Any:
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {INPUT: pixels})[0]


def openvino_answer(path: Path, pixels: Any) -> Any:
    ov = pytest.importorskip("openvino", reason="OpenVINO is not installed")
    model = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return next(iter(model({INPUT: pixels}).values()))


def unlike_first(model: Any) -> Any:
    """Give statistics and shifts of each normalization values of their own, as training does."""
    rng = np.random.default_rng(3)
    for variable in model.variables:
        if variable.path.endswith(("moving_variance", "gamma")):
            variable.assign(rng.uniform(0.5, 2.0, variable.shape))
        elif len(variable.shape) == 1:
            variable.assign(rng.normal(0, 0.3, variable.shape))
    return model


def test_layers_are_those_of_the_paper() -> None:
    model = build_paper(3)
    kinds = [type(layer).__name__ for layer in model.layers[1:]]
    down = ["Conv2D", "LeakyReLU", "MaxPooling2D", "BatchNormalization"]
    up = ["Conv2DTranspose", "LeakyReLU", "UpSampling2D", "BatchNormalization"]
    assert kinds == 3 * down + 3 * up + ["Conv2D"]
    convolutions = [layer for layer in model.layers if "Conv2D" in type(layer).__name__]
    assert [layer.filters for layer in convolutions] == [64, 128, 256, 256, 128, 64, 1]
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}
    assert model.layers[-1].activation is keras.activations.softplus


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_one_positive_image_comes_of_any_channels(channels: int) -> None:
    model = unlike_first(build_paper(channels))
    pixels = np.random.default_rng(1).normal(size=(2, 40, 32, channels)).astype(np.float32)
    answer = keras.ops.convert_to_numpy(model(pixels, training=False))
    assert answer.shape == (2, 40, 32, 1)
    assert (answer > 0).all()
    assert np.ptp(answer) > 0.01


@pytest.mark.parametrize("answers", [onnxruntime_answer, openvino_answer])
def test_onnx_answers_as_keras_does(answers: Any, tmp_path: Path) -> None:
    keras.utils.set_random_seed(4)
    model, path = unlike_first(build_paper(2)), tmp_path / "paper.onnx"
    export_keras(model, path, inputs={INPUT: 2}, outputs=[OUTPUT])
    for ny, nx in ((64, 64), (24, 48)):
        pixels = np.random.default_rng(2).normal(size=(3, ny, nx, 2)).astype(np.float32)
        wanted = keras.ops.convert_to_numpy(model(pixels, training=False))
        found = answers(path, np.ascontiguousarray(np.moveaxis(pixels, -1, 1)))
        assert found.shape == (3, 1, ny, nx)
        np.testing.assert_allclose(np.moveaxis(found, 1, -1), wanted, atol=2e-5 * wanted.max())


def test_no_pixel_reaches_further_than_the_card_says() -> None:
    model = unlike_first(build_paper(1))
    pixels = np.zeros((1, 128, 128, 1), np.float32)
    before = keras.ops.convert_to_numpy(model(pixels, training=False))[0, ..., 0]
    reached = np.zeros((128, 128), dtype=bool)
    for y, x in ((64, 64), (63, 63), (60, 67)):
        pixels[:] = 0
        pixels[0, y, x] = 1e3
        after = keras.ops.convert_to_numpy(model(pixels, training=False))[0, ..., 0]
        away = np.abs(np.argwhere(after != before) - (y, x))
        assert 16 < away.max() <= export.HALO
        reached |= after != before
    assert export.HALO % MULTIPLE == 0
    assert restore.MULTIPLE == MULTIPLE
