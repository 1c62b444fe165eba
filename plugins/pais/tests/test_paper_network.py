"""The network of the paper: its attention, its losses; alike in every engine, and it learns."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from astroclean.training.keras_onnx import export_keras

if TYPE_CHECKING:
    from pathlib import Path

keras = pytest.importorskip("keras", reason="Keras is not installed")

from astroclean_pais.network.paper import OUTPUTS, FastAttention, build_paper  # noqa: E402
from astroclean_pais.network.paper_losses import (  # noqa: E402
    WEIGHTS,
    attribution_loss,
    center_loss,
    vector_loss,
)


def onnxruntime_answers(path: Path, inputs: dict[str, Any]) -> list[Any]:
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return list(session.run(None, inputs))


def openvino_answers(path: Path, inputs: dict[str, Any]) -> list[Any]:
    ov = pytest.importorskip("openvino", reason="OpenVINO is not installed")
    model = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return list(model(inputs).values())


def channels_first(array: Any) -> Any:
    return np.ascontiguousarray(np.moveaxis(keras.ops.convert_to_numpy(array), -1, 1))


def unlike_first(model: Any) -> Any:
    """Give statistics and shifts of each normalization values of their own, as training does."""
    rng = np.random.default_rng(3)
    for variable in model.variables:
        if variable.path.endswith(("moving_variance", "gamma")):
            variable.assign(rng.uniform(0.5, 2.0, variable.shape))
        elif len(variable.shape) == 1:
            variable.assign(rng.normal(0, 0.3, variable.shape))
    return model


def test_fast_attention_is_that_of_cosines_over_all_pixels() -> None:
    """Against a matrix of all pairs of pixels (Hu et al. 2020, equation 3)."""
    rng = np.random.default_rng(1)
    query, key, value = (rng.normal(size=(2, 5, 7, c)).astype(np.float32) for c in (4, 4, 6))
    query[0, 2, 3] = 0  # without a direction
    found = keras.ops.convert_to_numpy(FastAttention()([query, key, value]))
    for q, k, v, answer in zip(query, key, value, found, strict=True):
        flat = [part.reshape(35, -1).astype(float) for part in (q, k, v)]
        lengths = [np.linalg.norm(part, axis=1, keepdims=True) for part in flat[:2]]
        cosines = (flat[0] / np.maximum(lengths[0], 1e-6)) @ (flat[1] / lengths[1]).T
        np.testing.assert_allclose(answer.reshape(35, -1), cosines @ flat[2] / 35, atol=1e-5)


@pytest.mark.parametrize("answers", [onnxruntime_answers, openvino_answers])
@pytest.mark.parametrize(("sources", "shape"), [(3, (64, 96)), (5, (48, 32))])
def test_onnx_answers_as_keras_does(
    sources: int, shape: tuple[int, int], answers: Any, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(4)
    model, path = unlike_first(build_paper(sources)), tmp_path / "paper.onnx"
    export_keras(model, path, inputs={"pixels": 1}, outputs=OUTPUTS)
    pixels = np.random.default_rng(2).normal(0, 2, size=(2, *shape, 1)).astype(np.float32)
    wanted = [channels_first(part) for part in model(pixels, training=False)]
    found = answers(path, {"pixels": channels_first(pixels)})
    assert [part.shape for part in found] == [
        (2, channels, *shape) for channels in (1, 2 * sources, sources)
    ]
    for ours, theirs in zip(found, wanted, strict=True):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, atol=2e-5 * scale)
        assert np.ptp(theirs) > 0.01 * scale
    np.testing.assert_allclose(found[2].sum(axis=1), 1, rtol=1e-5)


def test_losses_are_those_of_the_paper() -> None:
    rng = np.random.default_rng(5)
    target, answer = rng.normal(size=(2, 2, 4, 4, 6)).astype(np.float32)
    assert float(center_loss(target, answer)) == pytest.approx(np.mean((target - answer) ** 2))
    assert float(vector_loss(target, answer)) == pytest.approx(np.mean(np.abs(target - answer)))
    shares = rng.dirichlet(np.ones(3), size=(2, 4, 4)).astype(np.float32)
    logits = rng.normal(0, 3, size=shares.shape).astype(np.float32)
    told = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    cross = -np.mean(np.sum(shares * np.log(told), axis=-1))
    entropy = -np.mean(told * np.log(told))
    found = float(attribution_loss(shares, logits))
    assert found == pytest.approx(4 * cross + entropy, rel=1e-5)
    assert np.isfinite(float(attribution_loss(shares, 1e4 * logits)))
    assert WEIGHTS[:2] == (15.0, 0.06)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "tensorflow"])
def test_it_builds_and_learns_on_both_backends(backend: str) -> None:
    """Some steps on one batch lower each of its losses."""
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    program = """
import numpy as np, keras
from astroclean_pais.network.paper import build_paper
from astroclean_pais.network.paper_losses import *
keras.utils.set_random_seed(1)
y, x = np.indices((32, 32), dtype="float32")
star = np.exp(-((y - 12) ** 2 + (x - 20) ** 2) / 8)[None, ..., None]
vectors = np.stack([12 - y, 20 - x] * 3, axis=-1)[None]
maps = np.where(star > 0.1, np.array([1, 0, 0], "float32"), np.float32(1 / 3))
model = build_paper(logits=True)
model.compile(keras.optimizers.Adam(3e-3), [center_loss, vector_loss, attribution_loss],
              loss_weights=list(WEIGHTS))
losses = [model.train_on_batch(3 * star, [star, vectors, maps]) for _ in range(30)]
first, last = np.array(losses[:3]).mean(axis=0), np.array(losses[-3:]).mean(axis=0)
assert (last < first).all(), (first, last)
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
