"""A module is learned by the schedule, averaged, and goes on from a checkpoint to the same bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from astroclean.errors import ConfigurationError
from astroclean.training.network import averaging_share, learning_rate
from astroclean.training.torch_model import TorchRecipe, TrainedModule, begin_with, built
from astroclean.training.torch_onnx import export_torch

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
nn = torch.nn
RECIPE = TorchRecipe(steps=1000, batch=4, precision="f32", device="cpu", seed=7)


def network() -> Any:
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, 1, 1)
    return nn.Sequential(*layers)


def step(trained: TrainedModule, number: int) -> dict[str, float]:
    rng = np.random.default_rng(number)
    image = torch.from_numpy(rng.normal(size=(4, 1, 12, 12)).astype(np.float32))

    def losses(module: Any) -> dict[str, Any]:
        error = (module(image) - 2 * image[..., 1:-1, 1:-1]).abs().mean()
        return {"loss": 3 * error, "error": error}

    return trained.learn(number, losses)


def values(trained: TrainedModule) -> dict[str, np.ndarray]:
    parts = {"module": trained.module, "average": trained.average}
    return {
        f"{name} {key}": tensor.numpy().copy()
        for name, part in parts.items()
        for key, tensor in part.state_dict().items()
    }


@pytest.mark.slow
def test_going_on_gives_the_same_bits_dropout_included(tmp_path: Path) -> None:
    whole = TrainedModule(built(network, RECIPE), RECIPE)
    first = TrainedModule(built(network, RECIPE), RECIPE)
    for number in range(1, 7):
        told = step(whole, number)
        assert told["loss"] == pytest.approx(3 * told["error"])
    for number in range(1, 4):
        step(first, number)
    first.save(tmp_path)
    torch.manual_seed(99)
    second = TrainedModule(network(), RECIPE)
    second.restore(tmp_path)
    for number in range(4, 7):
        step(second, number)
    again = values(second)
    for name, array in values(whole).items():
        np.testing.assert_array_equal(array, again[name], err_msg=name)


def test_the_average_follows_the_weights() -> None:
    trained = TrainedModule(built(network, RECIPE), RECIPE)
    before = values(trained)["average 0.weight"]
    step(trained, 1)
    after = values(trained)
    expected = before + averaging_share(1) * (after["module 0.weight"] - before)
    np.testing.assert_allclose(after["average 0.weight"], expected, rtol=1e-6)
    assert averaging_share(10**6) == pytest.approx(0.001)


def test_the_rate_rises_and_falls_with_a_cosine() -> None:
    rates = [learning_rate(RECIPE, number) for number in range(1, 1001)]
    assert rates.index(max(rates)) == 299
    assert rates[0] < 0.01 * RECIPE.rate
    assert rates[-1] == pytest.approx(0.01 * RECIPE.rate)
    # Half way down the cosine there is half of what lies between the ends.
    assert rates[499] == pytest.approx(RECIPE.rate * (0.01 + 0.99 / 2))


def test_half_precision_learns_too() -> None:
    recipe = TorchRecipe(**{**RECIPE.model_dump(), "precision": "bf16", "rate": 0.1})
    trained = TrainedModule(built(network, recipe), recipe)
    errors = [step(trained, number)["error"] for number in range(1, 61)]
    assert np.mean(errors[-10:]) < 0.8 * np.mean(errors[:10])
    assert trained.module[0].weight.dtype == torch.float32


def test_a_training_begins_with_given_weights_or_says_why_not(tmp_path: Path) -> None:
    made, path = network().eval(), tmp_path / "one.onnx"
    export_torch(made, path, inputs={"image": 1}, outputs={"answer": 1})
    other = network()
    begin_with(other, path)
    for name, tensor in made.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name
    with pytest.raises(ConfigurationError, match="no file"):
        begin_with(other, tmp_path / "none.onnx")
    with pytest.raises(ConfigurationError, match="is not that of the weights"):
        begin_with(nn.Sequential(nn.Conv2d(1, 5, 3)), path)
