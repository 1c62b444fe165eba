"""Networks keep their laws, in every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

from astroclean_pconv.network import build_compact, build_paper  # noqa: E402
from astroclean_pconv.network.layers import PartialConv2d, PullPush  # noqa: E402
from astroclean_pconv.train.export import export_network  # noqa: E402 - imports torch
from maps_of_sources import ROWS, frame_of, run  # noqa: E402

from astroclean.core.image.uncertainty import deviation_of  # noqa: E402
from astroclean.errors import StageError  # noqa: E402
from astroclean.inference.cards import card as card_module  # noqa: E402
from astroclean.inference.cards.card import load_card  # noqa: E402
from astroclean.inference.cards.verify import verify_network  # noqa: E402
from astroclean.inference.cards.weights import find_weights  # noqa: E402
from astroclean.inference.engines.engine import open_engine  # noqa: E402
from astroclean.inference.engines.initializers import read_initializers  # noqa: E402
from astroclean.training.torch_model import begin_with  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path


def network(kind: str = "compact") -> Any:
    """A network whose parameters all matter, normalizations too."""
    torch.manual_seed(5)
    made = build_paper() if kind == "paper" else build_compact()
    for name, values in made.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            values.copy_(0.1 * torch.randn_like(values))
        elif name.endswith(("running_var", "norm.weight")):
            values.copy_(1 + 0.2 * torch.rand_like(values))
    return made.eval()


COMPACT = network()


def holed(seed: int, *, side: int = 96, radius: float = 20.0, noisy: bool = True) -> Any:
    """An image with structure, and a mask with a round hole and a column."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    image = np.sin(x / 9.0) + np.cos(y / 14.0) + noisy * rng.normal(size=(side, side))
    cy, cx = rng.uniform(radius / 2, side - radius / 2, 2)
    mask = np.hypot(y - cy, x - cx) > radius
    mask[:, int(rng.integers(side))] = False
    return [torch.from_numpy(a.astype(np.float32)[None, None]) for a in (image, mask)]


def answer(made: Any, image: Any, mask: Any) -> Any:
    """The background, (n, 1, ny, nx); of the compact network also its error: (2, n, 1, ny, nx)."""
    with torch.inference_mode():
        found = made(image, mask)
    return np.stack(found) if isinstance(found, tuple) else found.numpy()


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 1000), st.sampled_from([0.0, 1e6, -1e30, float("nan"), float("inf")]))
def test_the_answers_do_not_depend_on_what_stands_in_the_hole(seed: int, inside: float) -> None:
    image, mask = holed(seed, side=64)
    other = torch.where(mask > 0, image, torch.tensor(inside))
    np.testing.assert_array_equal(answer(COMPACT, image, mask), answer(COMPACT, other, mask))


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 1000), st.floats(1e-4, 1e4))
def test_the_compact_network_knows_no_unit(seed: int, factor: float) -> None:
    image, mask = holed(seed, side=64)
    pairs = zip(answer(COMPACT, factor * image, mask), answer(COMPACT, image, mask), strict=True)
    for scaled, one in pairs:
        np.testing.assert_allclose(scaled / factor, one, rtol=0, atol=2e-5 * np.abs(one).max())
        assert one.std() > 0


@pytest.mark.parametrize("seed", range(3))
def test_an_expected_error_is_never_negative_and_nothing_gives_nothing(seed: int) -> None:
    image, mask = holed(seed, side=64)
    assert answer(COMPACT, image, mask)[1].min() >= 0
    assert not answer(COMPACT, 0 * image, mask).any()


def test_a_compact_network_without_correction_fills_simply() -> None:
    made = network()
    torch.nn.init.zeros_(made.last.conv.weight)
    image, mask = holed(2, side=64)
    simple = PullPush()(image * mask, mask)
    np.testing.assert_array_equal(answer(made, image, mask)[0], simple)


@pytest.mark.parametrize("kind", ["compact", "paper"])
def test_a_hole_of_forty_pixels_is_filled_from_around_it(kind: str) -> None:
    """The middle of such a hole depends on pixels outside, so it is seen across the hole."""
    image, mask = holed(1, radius=0.0)
    mask[:] = 1
    mask[..., 28:68, 28:68] = 0
    image.requires_grad_(requires_grad=True)
    found = network(kind)(image, mask)
    background = found[0] if isinstance(found, tuple) else found
    background[0, 0, 47, 47].backward()
    seen = image.grad[0, 0].abs().numpy()
    assert not seen[28:68, 28:68].any()
    sides = [seen[:28], seen[68:], seen[:, :28], seen[:, 68:]]
    assert min(side.sum() for side in sides) > 0


def test_the_paper_s_network_is_that_of_its_table() -> None:
    made = network("paper")
    shapes = {n: tuple(p.shape) for n, p in made.named_parameters() if n.endswith("conv.weight")}
    # Table 4: inputs and outputs of every block.
    down = [1, 32, 64, 64, 128, 128, 256, 256, 512, 512, 512, 512]
    fed = [512, 1024, 1024, 1024, 512, 512, 256, 256, 128, 128, 64]
    up = [512, 512, 512, 256, 256, 128, 128, 64, 64, 32, 1]
    kernels = [3, 4] * 5 + [3]
    for i in range(11):
        assert shapes[f"down.{i}.conv.weight"] == (down[i + 1], down[i], kernels[i], kernels[i])
        assert shapes[f"up.{i}.conv.weight"] == (fed[i], up[i], kernels[i], kernels[i])
    biases = [n for n, _ in made.named_parameters() if n.endswith("bias") and "norm" not in n]
    assert biases == ["up.10.bias"]
    # For 96 pixels the encoder ends in a vector.
    pair = made.entry(*holed(1))
    for block in made.down:
        pair = block(*pair)
    assert tuple(pair[0].shape) == (1, 512, 1, 1)


@pytest.mark.parametrize(
    ("kind", "side"), [("paper", 128), ("compact", 64), ("compact", 128), ("compact", 256)]
)
def test_other_sizes_are_taken(kind: str, side: int) -> None:
    found = answer(network(kind), *holed(2, side=side))
    assert found.shape[-4:] == (1, 1, side, side)
    assert np.isfinite(found).all()
    assert found.std() > 0


def test_the_compact_network_is_compact() -> None:
    assert sum(p.numel() for p in COMPACT.parameters()) < 500_000


def shipped(made: Any, folder: Path) -> Any:
    files = export_network(made, folder, name="pconv-test")
    return load_card(next(path for path in files if path.name.endswith(".card.toml")))


@pytest.fixture(autouse=True)
def _exports_are_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let what is exported here pass for a card of the installed plugin, whose code may be run."""
    found = card_module._folders_of
    own = {"astroclean_pconv": [str(tmp_path)]}
    monkeypatch.setattr(card_module, "_folders_of", lambda name: own.get(name) or found(name))


@pytest.mark.parametrize("engine", ["torch", "onnxruntime", "openvino"])
def test_engines_answer_as_the_module(tmp_path: Path, engine: str) -> None:
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    card = shipped(COMPACT, tmp_path)
    batch = [torch.cat(parts) for parts in zip(holed(3), holed(4), strict=True)]
    expected = answer(COMPACT, *batch)
    opened = open_engine(card, find_weights(card), prefer=engine)
    names = [tensor.name for tensor in card.inputs]
    found = opened.infer({n: t.numpy() for n, t in zip(names, batch, strict=True)})
    for name, wanted in zip(("background", "spread"), expected, strict=True):
        np.testing.assert_allclose(found[name], wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    opened.close()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "onnxruntime", "openvino"])
def test_engines_answer_as_the_network_of_the_paper(tmp_path: Path, engine: str) -> None:
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    made = network("paper")
    card = shipped(made, tmp_path)
    image, mask = holed(3)
    expected = answer(made, image, mask)
    opened = open_engine(card, find_weights(card), prefer=engine)
    found = opened.infer({"image": image.numpy(), "mask": mask.numpy()})["background"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    opened.close()


@pytest.mark.slow
def test_the_stage_takes_a_network_that_needs_wide_views_and_tells_no_error(
    tmp_path: Path,
) -> None:
    shipped(network("paper"), tmp_path)
    weights = str(tmp_path / "pconv-test.card.toml")
    frame = frame_of(rows=ROWS[:2])
    result = run(frame, weights=weights, wings=False)
    filled = result.frame.where("REMOVED")
    assert filled.sum() > 50
    assert np.isfinite(result.frame.data).all()
    assert np.isnan(deviation_of(result.frame.uncertainty)[filled]).all(), "nobody knows"
    with pytest.raises(StageError, match="does not tell how far off it is"):
        run(frame, weights=weights, mode="separate")


def test_a_shipped_network_verifies_and_names_its_parameters_as_the_module(tmp_path: Path) -> None:
    card = shipped(COMPACT, tmp_path)
    assert all(finding.passed is not False for finding in verify_network(card))
    found = read_initializers(find_weights(card))
    for name, layer in COMPACT.named_modules():
        if isinstance(layer, PartialConv2d):  # balanced kernels are written as they are in force
            kernels = layer.weight.detach().numpy()
            np.testing.assert_array_equal(found[f"{name}.conv.weight"], kernels)
    assert {name for name in found if name.endswith("weight")} == set(COMPACT.state_dict())
    assert [(one.name, one.content, one.at_invalid) for one in card.outputs] == [
        ("background", "intensity", "keep"),
        ("spread", "width", "keep"),
    ]
    assert [(tensor.name, tensor.content) for tensor in card.inputs] == [
        ("image", "data"),
        ("mask", "valid"),
    ]
    first = (tmp_path / "pconv-test.onnx").read_bytes()
    assert export_network(COMPACT, tmp_path, name="pconv-test")[0].read_bytes() == first


def test_a_network_filled_from_what_it_left_is_the_same(tmp_path: Path) -> None:
    path = export_network(COMPACT, tmp_path, name="pconv-test")[0]
    again = build_compact()
    begin_with(again, path)
    image, mask = holed(6, side=64)
    one, two = answer(COMPACT, image, mask), answer(again.eval(), image, mask)
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-5 * np.abs(one).max())
    (tmp_path / "second").mkdir()
    second = read_initializers(export_network(again, tmp_path / "second", name="pconv-test")[0])
    for name, values in read_initializers(path).items():
        np.testing.assert_allclose(second[name], values, rtol=1e-6, atol=1e-7)
