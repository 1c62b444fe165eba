"""The simple filling: means of what is known, from the finest resolution that knows anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from astroclean_pconv.network.layers import PullPush  # noqa: E402 - imports torch

from astroclean.training.torch_onnx import export_torch  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 64


def filled(values: np.ndarray, mask: np.ndarray, *, levels: int = 5) -> np.ndarray:
    """Fill one image."""
    fed = [torch.from_numpy(a.astype(np.float32)[None, None]) for a in (values * mask, mask)]
    with torch.inference_mode():
        return np.asarray(PullPush(levels)(*fed)[0, 0].numpy(), dtype=np.float64)


def by_hand(values: np.ndarray, mask: np.ndarray, levels: int) -> np.ndarray:
    """Pull and push, written as a recursion over cells; beyond the border there are zeros."""
    if not levels:
        return values * mask
    ny, nx = values.shape
    cells = (values * mask).reshape(ny // 2, 2, nx // 2, 2).sum((1, 3))
    counts = mask.reshape(ny // 2, 2, nx // 2, 2).sum((1, 3))
    mean = np.divide(cells, counts, out=np.zeros_like(cells), where=counts > 0)
    coarse = by_hand(mean, (counts > 0).astype(float), levels - 1)
    around = np.pad(coarse, 1)
    found = np.array(values * mask)
    for y, x in zip(*np.nonzero(mask == 0), strict=True):
        j, i = y // 2 + 1, x // 2 + 1
        dj, di = (1 if y % 2 else -1), (1 if x % 2 else -1)
        rows = 0.75 * around[j] + 0.25 * around[j + dj]
        found[y, x] = 0.75 * rows[i] + 0.25 * rows[i + di]
    return found


def holes(seed: int, *, border: bool = False) -> np.ndarray:
    """1 where known; a disk and pixels here and there are not, nor, if asked for, the border."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    cy, cx = rng.uniform(16, SIDE - 16, 2)
    known = (np.hypot(y - cy, x - cx) > rng.uniform(2, 14)) & (rng.random((SIDE, SIDE)) < 0.8)
    for edge in (known[0], known[-1], known[:, 0], known[:, -1]):
        edge[...] = not border
    return known.astype(float)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([1, 3, 5]))
def test_it_equals_an_implementation_pixel_by_pixel(seed: int, border: bool, levels: int) -> None:
    mask = holes(seed, border=border)
    values = np.random.default_rng(seed).normal(size=mask.shape)
    expected = by_hand(values, mask, levels)
    np.testing.assert_allclose(filled(values, mask, levels=levels), expected, atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([2.0**-30, 0.25, 2.0**40]))
def test_known_pixels_stay_and_the_unit_does_not_matter(seed: int, factor: float) -> None:
    mask = holes(seed)
    values = np.random.default_rng(seed).normal(size=mask.shape).astype(np.float32)
    found = filled(values, mask)
    np.testing.assert_array_equal(found[mask > 0], values[mask > 0])
    np.testing.assert_array_equal(filled(values * factor, mask) / factor, found)
    # Every filled pixel is a mean of known ones.
    assert found.max() <= values[mask > 0].max() + 1e-5
    assert found.min() >= values[mask > 0].min() - 1e-5


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.floats(-1e3, 1e3))
def test_holes_of_a_flat_image_become_flat(seed: int, level: float) -> None:
    mask = holes(seed)
    found = filled(np.full(mask.shape, level), mask)
    np.testing.assert_allclose(found, level, rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("angle", [0.0, 0.6, 1.57])
@pytest.mark.parametrize("radius", [4, 8, 13])
def test_a_slope_goes_on_through_a_hole(angle: float, radius: float) -> None:
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2 + 0.5
    slope = np.cos(angle) * x + np.sin(angle) * y
    mask = (np.hypot(y, x) > radius).astype(float)
    hole = mask == 0
    error = np.abs(filled(slope, mask) - slope)[hole]
    # The mean of the surroundings errs by all of it.
    assert error.mean() < 0.5 * np.abs(slope[hole]).mean()
    assert error.max() < np.abs(slope[hole]).max()


def test_nothing_known_is_nothing_and_one_pixel_is_everything() -> None:
    values, mask = np.full((SIDE, SIDE), 3.0), np.zeros((SIDE, SIDE))
    assert not filled(values, mask).any()
    mask[31, 31] = 1
    found = filled(values, mask)
    assert found[31, 31] == 3
    assert (found >= 0).all()
    assert found.max() == pytest.approx(3)


def test_onnx_fills_the_same(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

    class Filling(torch.nn.Module):  # type: ignore[misc]  # torch is untyped
        def __init__(self) -> None:
            super().__init__()
            self.simple = PullPush()

        def forward(self, values: Any, mask: Any) -> Any:
            return self.simple(values, mask)

    path = tmp_path / "simple.onnx"
    export_torch(Filling(), path, inputs={"values": 1, "mask": 1}, outputs={"filled": 1})
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    masks = np.stack([holes(1), holes(2, border=True)])[:, None].astype(np.float32)
    values = np.random.default_rng(1).normal(size=masks.shape).astype(np.float32) * masks
    (found,) = session.run(None, {"values": values, "mask": masks})
    expected = [filled(a[0], b[0]) for a, b in zip(values, masks, strict=True)]
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)
