"""Losses are those of the paper, and can be left out one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from astroclean_pconv.losses import (  # noqa: E402 - imports torch
    RELEASE,
    Batch,
    LossWeights,
    gram_matrix,
    losses_of,
    ssim,
)
from astroclean_pconv.style import StyleFeatures  # noqa: E402

from astroclean.errors import ConfigurationError  # noqa: E402

ENCODER = Path(__file__).parents[2] / "maximask/astroclean_maximask/cards/maximask-astroclean.onnx"
TERMS = ("valid", "hole", "style", "ssim", "source")


def drawn(seed: int, side: int = 16, *, border: int = 0) -> tuple[Any, Batch]:
    """An answer and a batch; some rows may lie beyond the border of the map."""
    torch.manual_seed(seed)
    out, target = torch.randn(2, 2, 1, side, side)
    hole = (torch.rand(2, 1, side, side) < 0.3).float()
    valid = 1 - hole
    for part in (hole, valid, target):
        part[..., :border, :] = 0
    return out, Batch(target + 5 * hole, target, valid, hole)


def features(image: Any) -> list[Any]:
    return [torch.cat([image, image**2], 1), image[..., ::2, ::2]]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.integers(0, 3))
def test_terms_are_the_equations(seed: int, border: int) -> None:
    out, batch = drawn(seed, border=border)
    found = losses_of(out, batch, LossWeights(), features=features)
    x, gt, m, h = (
        t.numpy().astype(np.float64) for t in (out, batch.target, batch.valid, batch.hole)
    )
    error = np.abs(x - gt)
    assert float(found["hole"]) == pytest.approx((h * error).sum() / error.size, rel=1e-5)
    assert float(found["valid"]) == pytest.approx((m * error).sum() / error.size, rel=1e-5)
    composite = np.where(h > 0, x, gt)
    source = np.abs((batch.image.numpy() - gt) - (batch.image.numpy() - composite)).mean()
    assert float(found["source"]) == pytest.approx(source, rel=1e-5)
    weights = {"valid": 2, "hole": 6, "style": 120, "ssim": 0.4, "source": 1}
    total = sum(weights[name] * float(found[name]) for name in TERMS)
    assert float(found["loss"]) == pytest.approx(total, rel=1e-5)


def test_the_style_is_that_of_products_of_channels() -> None:
    out, batch = drawn(4)
    found = float(losses_of(out, batch, LossWeights(), features=features)["style"])

    def style(image: Any) -> float:
        total = 0.0
        for part, truth in zip(features(image), features(batch.target), strict=True):
            a, b = (p.numpy().astype(np.float64) for p in (part, truth))
            difference = np.einsum("nchw,ndhw->ncd", a, a) - np.einsum("nchw,ndhw->ncd", b, b)
            n, c, ny, nx = a.shape
            total += np.abs(difference).sum() / (n * c * c) / (c * ny * nx)
        return total

    composite = torch.where(batch.hole > 0, out, batch.target)
    assert found == pytest.approx(style(out) + style(composite), rel=1e-5)
    gram = gram_matrix(features(out)[0])
    torch.testing.assert_close(gram, gram.transpose(1, 2))


def test_the_truth_costs_nothing() -> None:
    _, batch = drawn(5, border=2)
    found = losses_of(batch.target, batch, LossWeights(), features=features)
    assert float(found["loss"]) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("term", TERMS)
def test_a_term_without_weight_is_not_computed(term: str) -> None:
    out, batch = drawn(6)
    weights = LossWeights(**{term: 0.0})
    given = None if term == "style" else features
    found = losses_of(out, batch, weights, features=given)
    whole = losses_of(out, batch, LossWeights(), features=features)
    assert set(found) == {"loss", *TERMS} - {term}
    lost = getattr(LossWeights(), term) * float(whole[term])
    assert float(found["loss"]) == pytest.approx(float(whole["loss"]) - lost, rel=1e-4)
    assert lost > 0


def test_a_style_without_features_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs a network"):
        losses_of(*drawn(1), RELEASE)
    assert RELEASE.valid == 6


def test_nothing_beyond_the_border_has_a_gradient() -> None:
    out, batch = drawn(7, border=5)
    out.requires_grad_(requires_grad=True)
    losses_of(out, batch, LossWeights(), features=features)["loss"].backward()
    assert not out.grad[..., :5, :].any()
    assert out.grad[..., 5:, :].any()


def test_structural_similarity_is_that_of_equation_5() -> None:
    rng = np.random.default_rng(1)
    one = rng.normal(size=(12, 14))
    other = one + 0.5 * rng.normal(size=one.shape)
    pair = (torch.from_numpy(image[None, None]) for image in (one, other))
    found = ssim(*pair)[0, 0].numpy()
    offsets = np.arange(-2, 3)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = (0.01 * np.ptp(one)) ** 2, (0.03 * np.ptp(one)) ** 2
    assert found.shape == (8, 10)
    for row in range(8):
        for column in range(10):
            x, y = (image[row : row + 5, column : column + 5] for image in (one, other))
            mx, my = (weights * x).sum(), (weights * y).sum()
            vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
            cov = (weights * (x - mx) * (y - my)).sum()
            upper = (2 * mx * my + c1) * (2 * cov + c2)
            expected = upper / ((mx**2 + my**2 + c1) * (vx + vy + c2))
            assert found[row, column] == pytest.approx(expected, abs=1e-12)


@pytest.mark.skipif(not ENCODER.is_file(), reason="MaxiMask's weights are not here")
def test_style_features_are_those_of_the_encoder(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    whole = onnx.load(str(ENCODER))
    # The activation of the last convolution of each resolution becomes an output.
    wanted = []
    for level, index in ((0, 1), (1, 1), (2, 2)):
        name = f"down{level}_{index}/kernel"
        made = next(node.output[0] for node in whole.graph.node if name in node.input)
        wanted.append(next(node.output[0] for node in whole.graph.node if made in node.input))
    for name in wanted:
        whole.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    onnx.save(whole, str(tmp_path / "open.onnx"))
    image = np.random.default_rng(3).normal(0, 5, (2, 1, 32, 48)).astype(np.float32)
    session = ort.InferenceSession(tmp_path / "open.onnx", providers=["CPUExecutionProvider"])
    expected = session.run(wanted, {"pixels": image})
    found = StyleFeatures(ENCODER, levels=3)(torch.from_numpy(image))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other, atol=1e-4)
        assert other.std() > 0.01


@pytest.mark.skipif(not ENCODER.is_file(), reason="MaxiMask's weights are not here")
def test_style_features_are_frozen_and_let_gradients_through() -> None:
    made = StyleFeatures(ENCODER, levels=2)
    assert list(made.parameters()) == []
    out, batch = drawn(2, side=32)
    out.requires_grad_(requires_grad=True)
    losses_of(out, batch, LossWeights(), features=made)["style"].backward()
    assert out.grad.abs().sum() > 0
    with pytest.raises(ConfigurationError, match="no encoder of 9"):
        StyleFeatures(ENCODER, levels=9)
