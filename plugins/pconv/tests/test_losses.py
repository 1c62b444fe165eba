"""Losses are those of the paper, and can be left out one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from astroclean_pconv.train.losses import (  # noqa: E402 - imports torch
    RELEASE,
    Batch,
    LossWeights,
    gram_matrix,
    losses_of,
    simple_error,
    ssim,
)
from astroclean_pconv.train.style import StyleFeatures  # noqa: E402

from astroclean.errors import ConfigurationError  # noqa: E402

ENCODER = Path(__file__).parents[2] / "maximask/astroclean_maximask/cards/maximask-astroclean.onnx"
TERMS = ("valid", "hole", "style", "ssim", "source")


def drawn(seed: int, side: int = 16, *, border: int = 0, light: float = 1e-3) -> tuple[Any, Batch]:
    """An answer and a batch; some rows may lie beyond the border of the map.

    The truth is faint: errors beneath much light count as parts of it, unlike in the paper.
    """
    torch.manual_seed(seed)
    out, target = torch.randn(2, 2, 1, side, side)
    target = light * target
    hole = (torch.rand(2, 1, side, side) < 0.3).float()
    valid = 1 - hole
    for part in (hole, valid, target):
        part[..., :border, :] = 0
    one = torch.ones(2, 1, 1, 1)
    return out, Batch(target + 5 * hole, target, valid, hole, known=one, unit=one)


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


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.floats(0.1, 10), st.floats(0.1, 1e4))
def test_errors_count_in_their_unit_and_beneath_much_light_as_parts_of_it(
    seed: int, unit: float, light: float
) -> None:
    out, batch = drawn(seed, light=light)
    batch = batch._replace(unit=torch.tensor([unit, 3 * unit]).reshape(2, 1, 1, 1))
    weights = LossWeights(style=0, ssim=0)
    found = losses_of(out, batch, weights)
    gt = batch.target.numpy().astype(np.float64)
    units = np.array([unit, 3 * unit]).reshape(2, 1, 1, 1)
    # As of a Gaussian sky below 5 widths, as a part of the light above.
    error = np.abs(out.numpy() - gt) / np.hypot(1, gt / 5) / units
    for name, where in (("hole", batch.hole), ("valid", batch.valid), ("source", batch.hole)):
        expected = (where.numpy() * error).mean()
        assert float(found[name]) == pytest.approx(expected, rel=1e-4)


def test_the_unit_is_the_error_of_a_simple_filling() -> None:
    simple, batch = drawn(8, border=3)
    found = simple_error(simple, batch._replace(unit=0 * batch.unit)).numpy().ravel()
    for index, hole in enumerate(batch.hole.numpy() > 0):
        error = np.abs(simple.numpy() - batch.target.numpy())[index][hole].mean()
        assert found[index] == pytest.approx(error, abs=0.021)
        assert found[index] > error, "never 0"
    assert (simple_error(batch.target, batch) > 0).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.floats(0.05, 5))
def test_an_expected_error_costs_least_where_it_is_the_mean_error(seed: int, scale: float) -> None:
    out, batch = drawn(seed)
    out = scale * out
    mean = float(((out - batch.target).abs() * batch.hole).sum() / batch.hole.sum())
    weights = LossWeights(style=0, ssim=0, source=0, valid=0, hole=0, spread=1)

    def cost(spread: float) -> float:
        told = torch.full_like(out, spread)
        return float(losses_of(out, batch, weights, spread=told)["spread"])

    least = cost(mean)
    assert least < min(cost(1.1 * mean), cost(0.9 * mean))
    # The negative logarithm of a Laplace distribution, less log 2.
    assert least == pytest.approx(np.log(mean) + 1, abs=1e-4)


def test_the_expected_error_teaches_the_background_nothing() -> None:
    out, batch = drawn(9)
    out.requires_grad_(requires_grad=True)
    spread = torch.full_like(out, 0.5, requires_grad=True)
    weights = LossWeights(style=0, ssim=0, source=0, valid=0, hole=0, spread=1)
    losses_of(out, batch, weights, spread=spread)["loss"].backward()
    assert out.grad is None or not out.grad.any()
    assert spread.grad[batch.hole > 0].all()
    assert not spread.grad[batch.hole == 0].any()
    assert "spread" not in losses_of(out, batch, weights), "a network that tells none"


def test_errors_of_a_truth_with_noise_are_not_to_be_expected() -> None:
    out, batch = drawn(10)
    spread = torch.full_like(out, 0.5, requires_grad=True)
    weights = LossWeights(style=0, spread=1)
    batch = batch._replace(known=torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1))
    losses_of(out, batch, weights, spread=spread)["spread"].backward()
    assert spread.grad[0].any()
    assert not spread.grad[1].any()
    nothing = batch._replace(known=torch.zeros(2, 1, 1, 1))
    found = losses_of(out, nothing, weights, spread=spread.detach())
    assert float(found["spread"]) == 0
    assert torch.isfinite(found["loss"])


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
    image = np.random.default_rng(3).normal(0, 5, (2, 1, 64, 128)).astype(np.float32)
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
