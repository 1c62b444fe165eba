"""The network that is written answers as the one with normalizations that it was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astroclean_deepcr.network import INPUT, fold, write_network

from astroclean.errors import PluginError

if TYPE_CHECKING:
    from pathlib import Path


def convolved(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.einsum("cyxij,ocij->oyx", windows, kernel) + bias[:, None, None]


def block(state: dict[str, np.ndarray], prefix: str, image: np.ndarray) -> np.ndarray:
    """Two convolutions, each with its normalization as the papers write it."""
    batch = f"{prefix}.1.running_mean" in state
    for place in (0, 3) if batch else (0, 2):
        name = f"{prefix}.{place}"
        if batch:
            image = convolved(image, state[f"{name}.weight"], state[f"{name}.bias"])
            norm = {
                k: state[f"{prefix}.{place + 1}.{k}"][:, None, None]
                for k in ("weight", "bias", "running_mean", "running_var")
            }
            image = (image - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5)
            image = image * norm["weight"] + norm["bias"]
        else:
            direction = state[f"{name}.weight_v"]
            lengths = np.sqrt((direction**2).sum(axis=(1, 2, 3), keepdims=True))
            kernel = state[f"{name}.weight_g"] * direction / lengths
            image = convolved(image, kernel, state[f"{name}.bias"])
        image = np.maximum(image, 0)
    return image


def reference(state: dict[str, np.ndarray], image: np.ndarray) -> np.ndarray:
    state = {k.removeprefix("module."): v.astype(np.float64) for k, v in state.items()}
    fine = block(state, "inc.conv.conv", image[np.newaxis].astype(np.float64))
    channels, ny, nx = fine.shape
    pooled = fine.reshape(channels, ny // 2, 2, nx // 2, 2).max(axis=(2, 4))
    coarse = block(state, "down1.mpconv.1.conv", pooled)
    back = np.einsum("cyx,coij->oyixj", coarse, state["up8.up.weight"]).reshape(-1, ny, nx)
    back += state["up8.up.bias"][:, None, None]
    joined = block(state, "up8.conv.conv", np.concatenate([fine, back]))
    logits = np.einsum("cyx,oc->oyx", joined, state["outc.conv.weight"][..., 0, 0])
    return 1 / (1 + np.exp(-(logits[0] + state["outc.conv.bias"][0])))


def answer(path: Path, image: np.ndarray) -> Any:
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {INPUT: image[np.newaxis, np.newaxis]})[0][0, 0]


@pytest.mark.parametrize("normalization", ["batch", "weight"])
def test_normalizations_are_folded_into_convolutions(
    tmp_path: Path, small_state: Any, normalization: str
) -> None:
    state, path = small_state(normalization=normalization), tmp_path / "small.onnx"
    write_network(state, path)
    for seed, shape in enumerate([(24, 40), (6, 2)]):
        image = np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)
        expected = reference(state, image)
        assert expected.std() > 0.01
        np.testing.assert_allclose(answer(path, image), expected, atol=1e-6)


def test_the_same_parameters_give_the_same_bytes(tmp_path: Path, small_state: Any) -> None:
    files = [tmp_path / name for name in ("first.onnx", "second.onnx", "third.onnx")]
    for path, seed in zip(files, (1, 1, 2), strict=True):
        write_network(small_state(normalization="weight", seed=seed), path)
    first, second, third = (path.read_bytes() for path in files)
    assert first == second != third


def test_parameters_of_another_network_are_refused(small_state: Any) -> None:
    state = small_state(normalization="batch")
    del state["module.up8.up.bias"]
    with pytest.raises(PluginError, match=r"up8\.up\.bias"):
        fold(state)
    with pytest.raises(PluginError, match="none"):
        fold({})
