"""Partial convolution is what the papers say it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from astroclean_pconv.network.layers import Entry, Geometry, PartialConv2d, joined  # noqa: E402 - imports torch

GEOMETRIES = [(3, 1, 1), (4, 2, 1), (3, 1, 0)]


def plain(kernel: int, stride: int, padding: int, *, transposed: bool = False) -> Any:
    """A layer of two inputs and three outputs without normalization and activation."""
    told: dict[str, Any] = {"scaling": "none", "activation": "none", "bias": True}
    layer = PartialConv2d(2, 3, Geometry(kernel, stride, padding, transposed), **told)
    torch.nn.init.normal_(layer.bias)
    return layer.eval()


def by_hand(layer: Any, values: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equations 1 and 2 of Liu et al. (2018), window by window, a mask for each channel."""
    weight = layer.conv.weight.detach().numpy().astype(np.float64)
    kernel, stride, padding = weight.shape[-1], layer.stride, layer.padding
    edges = ((0, 0), (padding, padding), (padding, padding))
    x, m = np.pad(values, edges), np.pad(masks, edges)
    side = [(n - kernel) // stride + 1 for n in x.shape[1:]]
    made, new = np.zeros((len(weight), *side)), np.zeros(side)
    for row in range(side[0]):
        for column in range(side[1]):
            y, z = row * stride, column * stride
            window = np.s_[:, y : y + kernel, z : z + kernel]
            total = m[window].sum()
            if total > 0:
                ratio = m[window].size / total
                found = (weight * (x[window] * m[window])).sum(axis=(1, 2, 3)) * ratio
                made[:, row, column] = found + layer.bias.detach().numpy()
                new[row, column] = 1
    return made, new


def drawn(seed: int, share: float, side: int = 8) -> tuple[Any, Any]:
    """Values and a mask of one channel in which a share of the pixels is known."""
    rng = np.random.default_rng(seed)
    mask = (rng.random((1, 1, side, side)) < share).astype(np.float32)
    values = rng.normal(size=(1, 2, side, side)).astype(np.float32)
    return torch.from_numpy(values), torch.from_numpy(mask)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(0, 1), st.sampled_from(GEOMETRIES))
def test_values_and_mask_are_those_of_the_equations(
    seed: int, share: float, geometry: tuple[int, int, int]
) -> None:
    layer = plain(*geometry)
    values, mask = drawn(seed, share)
    with torch.no_grad():
        made, new = layer(values * mask, mask)
    masks = np.repeat(mask.numpy()[0], 2, axis=0)
    expected, known = by_hand(layer, values.numpy()[0].astype(np.float64), masks)
    np.testing.assert_array_equal(new.numpy()[0, 0], known)
    np.testing.assert_allclose(made.numpy()[0], expected, atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_joined_channels_with_unlike_holes_count_each_on_its_own(
    seed: int, share: float, other: float
) -> None:
    layer = plain(3, 1, 1)
    (one, mask), (two, second) = drawn(seed, share), drawn(seed + 1, other)
    pair = joined((one[:, :1] * mask, mask), (two[:, :1] * second, second))
    with torch.no_grad():
        made, new = layer(*pair)
    values = np.concatenate([one[0, :1], two[0, :1]]).astype(np.float64)
    expected, known = by_hand(layer, values, np.concatenate([mask[0], second[0]]))
    np.testing.assert_array_equal(new.numpy()[0, 0], known)
    np.testing.assert_allclose(made.numpy()[0], expected, atol=1e-5)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_full_mask_equals_an_ordinary_convolution(
    geometry: tuple[int, int, int], transposed: bool
) -> None:
    layer = plain(*geometry, transposed=transposed)
    values, mask = drawn(1, 2.0, side=16)
    with torch.no_grad():
        made, new = layer(values, mask)
        ordinary = layer.conv(values) + layer.bias.reshape(1, -1, 1, 1)
    assert bool((new == 1).all())
    # At the border the window of a partial convolution is not whole.
    inner = np.s_[..., 2:-2, 2:-2]
    np.testing.assert_allclose(made[inner], ordinary[inner], rtol=1e-5, atol=1e-6)
    assert ordinary[inner].numel() > 0


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_a_transposed_layer_knows_what_any_of_its_inputs_knows(seed: int, share: float) -> None:
    layer = plain(4, 2, 1, transposed=True)
    values, mask = drawn(seed, share)
    with torch.no_grad():
        made, new = layer(values * mask, mask)
    known = mask.numpy()[0, 0]
    reach = np.zeros((16, 16))
    for y, x in zip(*np.nonzero(known), strict=True):
        # Input (y, x) reaches outputs 2 y - 1 to 2 y + 2.
        reach[max(2 * y - 1, 0) : 2 * y + 3, max(2 * x - 1, 0) : 2 * x + 3] = 1
    np.testing.assert_array_equal(new.numpy()[0, 0], reach)
    assert not made.numpy()[0, :, reach == 0].any()


def test_a_flat_image_stays_flat_where_any_pixel_is_known() -> None:
    """The point of the division: holes do not darken what is beside them."""
    layer = PartialConv2d(1, 1, scaling="none", activation="none")
    torch.nn.init.constant_(layer.conv.weight, 1 / 9)
    _, mask = drawn(3, 0.3, side=16)
    with torch.no_grad():
        made, new = layer(7.0 * mask, mask)
    np.testing.assert_allclose(made[new == 1], 7.0, rtol=1e-6)


def test_what_stands_in_a_hole_is_not_read() -> None:
    image = torch.tensor([[[[float("nan"), float("inf"), -1e30, 2.0]]]])
    values, coverage = Entry()(image, torch.tensor([[[[0.0, 0.0, 0.0, 1.0]]]]))
    assert values.tolist() == [[[[0, 0, 0, 2]]]]
    assert coverage.tolist() == [[[[0, 0, 0, 1]]]]


@pytest.mark.parametrize("geometry", [(3, 1, 1, False), (4, 2, 1, False), (4, 2, 1, True)])
def test_balanced_kernels_have_a_norm_and_keep_the_size_of_features(
    geometry: tuple[int, int, int, bool],
) -> None:
    torch.manual_seed(2)
    told: dict[str, Any] = {"scaling": "balanced"}
    layer = PartialConv2d(24, 32, Geometry(*geometry), **told)
    with torch.no_grad():
        layer.conv.weight.mul_(17.0)
        squared = (layer.weight**2).sum((0, 2, 3) if geometry[3] else (1, 2, 3))
        # Of the taps of a transposed kernel an output meets a quarter.
        np.testing.assert_allclose(squared, 2.0 * (4 if geometry[3] else 1), rtol=1e-5)
        values = torch.relu(torch.randn(4, 24, 32, 32))
        made, _ = layer(values, torch.ones(4, 1, 32, 32))
        inner = made[..., 2:-2, 2:-2]
        assert float((inner**2).mean() / (values**2).mean()) == pytest.approx(1, rel=0.3)


def test_only_the_directions_of_balanced_kernels_count_and_refilling_keeps_them() -> None:
    torch.manual_seed(3)
    layer = PartialConv2d(3, 5, scaling="balanced")
    with torch.no_grad():
        before = layer.weight.clone()
        layer.conv.weight.mul_(torch.rand(5, 1, 1, 1) + 0.1)
        torch.testing.assert_close(layer.weight, before)
        layer.conv.weight.copy_(before)  # as from an ONNX file
        torch.testing.assert_close(layer.weight, before, rtol=1e-6, atol=1e-7)
        plain = PartialConv2d(3, 5, scaling="none")
        assert plain.weight is plain.conv.weight


def test_the_size_of_the_answer_is_positive_where_it_is_asked_for() -> None:
    values, mask = drawn(4, 0.7)
    layer = PartialConv2d(2, 1, scaling="none", activation="abs")
    bare = PartialConv2d(2, 1, scaling="none", activation="none")
    bare.load_state_dict(layer.state_dict())
    with torch.no_grad():
        np.testing.assert_array_equal(layer(values, mask)[0], bare(values, mask)[0].abs())
