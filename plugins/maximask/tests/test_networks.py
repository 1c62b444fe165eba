"""Layers and architectures answer alike in Keras, ONNX and OpenVINO, on either backend."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astroclean_maximask.network.layers import Arcsinh, ArgMaxPool, ArgMaxUnpool
from astroclean_maximask.network.network import (
    build_compact_probabilities,
    build_maximask,
    build_track,
)
from astroclean_maximask.track.average_star import SIDE

from astroclean.training.keras_onnx import export_keras

if TYPE_CHECKING:
    from pathlib import Path

keras = pytest.importorskip("keras", reason="Keras is not installed")


def onnxruntime_answer(path: Path, pixels: Any) -> Any:
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"pixels": pixels})[0]


def openvino_answer(path: Path, pixels: Any) -> Any:
    ov = pytest.importorskip("openvino", reason="OpenVINO is not installed")
    model = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return model({"pixels": pixels})[0]


def sky(shape: tuple[int, int], seed: int = 0) -> Any:
    """Noise, with values of every size and patches in which all pixels are equal."""
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(2, *shape, 1)) * np.exp(rng.normal(0, 1.5, size=(2, *shape, 1)))
    image[:, 3:9, 5:12] = -200.0
    image[:, -6:, :7] = 0.0
    return image.astype(np.float32)


def unpooling() -> Any:
    """Pooling and back, after a ReLU that makes most pixels of some patches equal."""
    pixels = keras.Input((None, None, 1), name="pixels")
    bent = keras.layers.ReLU()(Arcsinh(dtype="float32")(pixels))
    pooled, places = ArgMaxPool()(bent)
    again, places_again = ArgMaxPool()(pooled)
    return keras.Model(
        pixels, ArgMaxUnpool()((ArgMaxUnpool()((again, places_again, pooled)), places, bent))
    )


@pytest.mark.parametrize("shape", [(16, 24), (17, 23), (25, 50)])
def test_unpooling_puts_the_greatest_back_and_nothing_else(shape: tuple[int, int]) -> None:
    pixels = sky(shape)
    found = keras.ops.convert_to_numpy(unpooling()(pixels))
    bent = np.maximum(np.arcsinh(pixels), 0)
    assert found.shape == bent.shape
    kept = found != 0
    np.testing.assert_allclose(found[kept], bent[kept], rtol=1e-6)
    for y in range(0, shape[0], 4):
        for x in range(0, shape[1], 4):
            block = bent[:, y : y + 4, x : x + 4, 0].reshape(2, -1)
            back = found[:, y : y + 4, x : x + 4, 0].reshape(2, -1)
            np.testing.assert_allclose(back.max(axis=1), block.max(axis=1), rtol=1e-6)
            assert (np.count_nonzero(back, axis=1) <= 1).all()


@pytest.mark.parametrize("answer", [onnxruntime_answer, openvino_answer])
@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (unpooling, (17, 23)),
        (build_maximask, (64, 96)),
        (build_maximask, (50, 75)),
        (build_compact_probabilities, (64, 96)),
        (build_track, (SIDE, SIDE)),
    ],
)
def test_networks_answer_alike_in_every_engine(
    build: Any, shape: tuple[int, int], answer: Any, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(4)
    model, path = build(), tmp_path / "network.onnx"
    channels = model.inputs[0].shape[-1]
    export_keras(model, path, inputs={"pixels": channels}, outputs=("answer",))
    pixels = np.repeat(sky(shape), channels, axis=-1)
    right = keras.ops.convert_to_numpy(model(pixels, training=False))
    if right.ndim == 4:
        right = right.transpose(0, 3, 1, 2)
    found = answer(path, np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    # Where two features are equal but for rounding, arg-max may choose either.
    wrong = np.abs(found - right) > 1e-4
    assert wrong.mean() < 1e-3


def test_sizes_are_those_of_the_paper_and_of_the_issue() -> None:
    assert abs(build_maximask().count_params() - 5.7e6) < 0.05e6
    assert build_compact_probabilities().count_params() <= 0.5e6
    assert build_maximask().output_shape[-1] == 14


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "tensorflow"])
def test_every_network_builds_and_learns_on_both_backends(backend: str) -> None:
    """Ten steps on one batch lower its loss."""
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    program = """
import numpy as np, keras
from astroclean_maximask.network.losses import pooled_cross_entropy
from astroclean_maximask.network.network import build_compact, build_maximask, build_track
rng = np.random.default_rng(1)
pixels = rng.normal(size=(2, 32, 32, 1)).astype("float32")
pixels[:, 8:12, 8:20] += 20
labels = np.zeros((2, 32, 32, 15), "float32")
labels[:, 8:12, 8:20, 0] = 1
labels[..., 14] = 1
whole = labels[..., :14]
star = rng.random((2, 81, 81, 2)).astype("float32")
for model, loss, seen, target in (
    (build_compact(14), pooled_cross_entropy, pixels, labels),
    (build_maximask(), "binary_crossentropy", pixels, whole),
    (build_track(2), "sparse_categorical_crossentropy", star, np.array([0, 1])),
):
    model.compile(keras.optimizers.Adam(3e-3), loss)
    losses = [float(model.train_on_batch(seen, target)) for _ in range(10)]
    assert losses[-1] < losses[0], (model.name, losses)
print(keras.backend.backend(), "learned")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"{backend} learned" in done.stdout
