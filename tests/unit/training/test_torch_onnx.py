"""A PyTorch module written as ONNX answers as it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from astroclean.errors import PluginError
from astroclean.inference.engines.torch import fill_module
from astroclean.training.torch_onnx import export_torch

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
nn = torch.nn


class Halved(nn.Module):
    """A layer of one's own with two outputs."""

    def forward(self, values: Any) -> Any:
        return 0.5 * values, -values

    def to_onnx(self, graph: Any, name: str, sources: list[str]) -> list[str]:
        assert name == "halved"
        half = graph.add("Mul", sources[0], graph.inline(0.5))
        return [half, graph.add("Neg", sources[0])]


class Pyramid(nn.Module):
    """Every layer and operation that has a counterpart."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.coarse = nn.Conv2d(4, 6, 4, stride=2, padding=1, bias=False, groups=2)
        self.wide = nn.Conv2d(6, 6, 3, padding=2, dilation=2)
        self.back = nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1)
        self.shuffled = nn.Sequential(nn.Conv2d(6, 16, 1), nn.PixelShuffle(2))
        self.bends = nn.ModuleList([nn.LeakyReLU(0.2), nn.Tanh(), nn.Softplus(), nn.Sigmoid()])
        self.halved = Halved()
        self.rest = nn.Sequential(nn.Dropout(0.5), nn.Identity())
        self.level = nn.Parameter(torch.tensor([0.7]))

    def forward(self, image: Any, mask: Any) -> Any:
        fine = self.fine(torch.cat([image, mask], dim=1))
        coarse = self.coarse(fine)
        back = self.back(self.rest(self.wide(coarse))) + self.shuffled(coarse)
        parts = [bend(back) for bend in self.bends]
        half, other = self.halved(parts[0] * parts[1])
        summed = (half - 2 * parts[2]) / (1 + torch.sigmoid(other)) + self.level
        return summed, torch.relu(torch.tanh(parts[3]))


def module() -> Any:
    torch.manual_seed(3)
    made = Pyramid()
    made.fine[1].running_mean.normal_()
    made.fine[1].running_var.uniform_(0.5, 2)
    return made.eval()


def test_a_module_answers_the_same_in_onnx_and_is_filled_from_it(tmp_path: Path) -> None:
    made, path = module(), tmp_path / "pyramid.onnx"
    export_torch(made, path, inputs={"image": 1, "mask": 1}, outputs={"a": 4, "b": 4})
    rng = np.random.default_rng(1)
    image, mask = (rng.normal(size=(2, 1, 16, 24)).astype(np.float32) for _ in range(2))
    with torch.inference_mode():
        expected = made(torch.from_numpy(image), torch.from_numpy(mask))
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    for found, values in zip(
        session.run(None, {"image": image, "mask": mask}), expected, strict=True
    ):
        np.testing.assert_allclose(found, values.numpy(), atol=1e-6)
        assert values.std() > 0.01
    torch.manual_seed(4)
    again = Pyramid().eval()
    fill_module(again, path)
    for name, values in made.state_dict().items():
        assert torch.equal(again.state_dict()[name], values), name


class Pooled(nn.Module):
    def forward(self, image: Any) -> Any:
        return torch.median(image)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (Pooled(), "median"),
        (nn.Sequential(nn.PixelUnshuffle(2)), "PixelUnshuffle"),
        (nn.Sequential(nn.Conv2d(1, 1, 3, padding="same")), "padding"),
    ],
)
def test_what_has_no_counterpart_is_named(tmp_path: Path, made: Any, told: str) -> None:
    with pytest.raises(PluginError, match=told):
        export_torch(made, tmp_path / "no.onnx", inputs={"image": 1}, outputs={"answer": 1})
