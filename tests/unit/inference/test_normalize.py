"""Transforms: there and back, blind to what is not valid, and what their names promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from astroclean.inference.tiles.normalize import Normalization

ALL = [
    {"name": "identity"},
    {"name": "scale", "offset": 100.0, "width": 20.0},
    {"name": "zscore"},
    {"name": "sigma_clip_zscore"},
    {"name": "asinh", "softening": 3.0},
    {"name": "log"},
    {"name": "background_sigma", "box": 32},
    {"name": "background_sigma", "box": 30, "whole_cells": True},
]
SKY = [content for content in ALL if content["name"] not in {"identity", "scale"}]


def made(content: dict[str, Any]) -> Any:
    return TypeAdapter(Normalization).validate_python(content)


def named(content: dict[str, Any]) -> str:
    return str(content["name"])


def sky(shape: tuple[int, int] = (96, 130), *, noise: float = 5.0) -> np.ndarray:
    rng = np.random.default_rng(3)
    return (300 + noise * rng.normal(size=shape)).astype(np.float32)


@pytest.mark.parametrize("content", ALL, ids=named)
def test_inverse_undoes(content: dict[str, Any]) -> None:
    data = sky()
    data[40:44, 50:54] += 2e4
    data[60, 60] = -5e3
    before = data.copy()
    transform = made(content)
    normalized, state = transform.forward(data, np.ones(data.shape, bool))
    assert normalized.dtype == np.float32
    assert np.array_equal(data, before), "the frame is not modified"
    back = transform.inverse(normalized, state)
    assert back.dtype == np.float32
    # sinh and expm1 multiply the rounding of their argument, which stays below 16 here.
    np.testing.assert_allclose(back, data, rtol=1e-5, atol=1e-3)
    cube = transform.inverse(np.stack([normalized, normalized]), state)
    assert np.array_equal(cube[1], back), "leading axes are channels"


@pytest.mark.parametrize("content", ALL, ids=named)
def test_pixels_that_are_not_valid_are_never_read(content: dict[str, Any]) -> None:
    valid = np.ones((96, 130), bool)
    valid[10:30, 20:90] = False
    answers = []
    for rubbish in (np.nan, np.inf, -1e30, 5.0):
        data = sky()
        data[~valid] = rubbish
        normalized, _ = made(content).forward(data, valid)
        assert np.isfinite(normalized).all()
        answers.append(normalized)
    assert all(np.array_equal(answer, answers[0]) for answer in answers)
    filled = answers[0][~valid]
    assert (filled == filled[0]).all()
    assert filled[0] == pytest.approx(np.median(answers[0][valid]), abs=0.2), "the sky"


@pytest.mark.parametrize("content", ALL, ids=named)
@pytest.mark.parametrize("value", [7.0, np.nan])
def test_frames_without_noise_or_without_pixels(content: dict[str, Any], value: float) -> None:
    data = np.full((40, 40), value, np.float32)
    valid = np.isfinite(data)
    normalized, state = made(content).forward(data, valid)
    assert np.isfinite(normalized).all()
    if valid.any():
        np.testing.assert_allclose(made(content).inverse(normalized, state), data, rtol=1e-5)


@pytest.mark.parametrize("name", ["sigma_clip_zscore", "background_sigma"])
def test_sky_becomes_zero_and_noise_becomes_one(name: str) -> None:
    data = sky((256, 256), noise=5.0)
    data[100:104, 100:104] += 1e5  # a star changes neither
    normalized, _ = made({"name": name}).forward(data, np.ones(data.shape, bool))
    quiet = normalized[normalized < 10]
    assert np.median(quiet) == pytest.approx(0, abs=0.05)
    assert np.std(quiet) == pytest.approx(1, abs=0.05)


def test_zscore_takes_mean_and_deviation_of_all_pixels() -> None:
    """Stars count, as in networks that were trained without clipping."""
    data = sky((256, 256))
    data[100:104, 100:104] += 1e5
    data[0, :9] = np.nan
    normalized, _ = made({"name": "zscore"}).forward(data, np.isfinite(data))
    inside = normalized[np.isfinite(data)].astype(np.float64)
    assert inside.mean() == pytest.approx(0, abs=1e-6)
    assert inside.std() == pytest.approx(1, abs=1e-6)


def test_background_follows_a_slope_that_one_number_does_not() -> None:
    slope = sky((256, 256)) + np.linspace(0, 500, 256, dtype=np.float32)
    valid = np.ones(slope.shape, bool)
    flat, _ = made({"name": "background_sigma", "box": 32}).forward(slope, valid)
    steep, _ = made({"name": "sigma_clip_zscore"}).forward(slope, valid)
    edges = [np.median(image[:, -20:]) - np.median(image[:, :20]) for image in (flat, steep)]
    assert abs(edges[0]) < 2 < abs(edges[1])


def test_asinh_is_linear_in_the_noise_and_logarithmic_above() -> None:
    data = sky((200, 200))
    data[0, :2] = [300 + 5e5, 300 + 5e6]
    normalized, state = made({"name": "asinh", "softening": 2.0}).forward(
        data, np.ones(data.shape, bool)
    )
    faint = np.abs(data - 300) < 1
    expected = (data[faint] - state.offset) / state.width
    np.testing.assert_allclose(normalized[faint], expected, rtol=0.01, atol=1e-5)
    assert normalized[0, 1] - normalized[0, 0] == pytest.approx(np.log(10), abs=1e-3)
    assert state.width == pytest.approx(10, rel=0.05)


def test_a_map_follows_to_a_finer_grid() -> None:
    slope = np.broadcast_to(np.linspace(0, 4000, 200, dtype=np.float32), (64, 200))
    slope = slope + np.random.default_rng(1).normal(size=slope.shape).astype(np.float32)
    transform = made({"name": "background_sigma", "box": 16})
    normalized, state = transform.forward(np.ascontiguousarray(slope), np.ones((64, 200), bool))
    fine = transform.inverse(np.repeat(np.repeat(normalized * 0, 3, 0), 3, 1), state)
    assert fine.shape == (192, 600)
    x = (np.arange(600) + 0.5) / 3 - 0.5  # in pixels of the frame
    middle = slice(60, -60)  # the mesh is flat at the edge
    np.testing.assert_allclose(fine[90, middle], x[middle] * 4000 / 199, rtol=0, atol=30)
    assert (np.diff(fine[90, middle]) > 0).all(), "no steps of three pixels"


STRAIGHT = [content for content in ALL if content["name"] not in {"asinh", "log"}]


@pytest.mark.parametrize("content", STRAIGHT, ids=named)
def test_a_width_is_undone_as_a_difference_of_intensities(content: dict[str, Any]) -> None:
    data = sky()
    transform = made(content)
    normalized, state = transform.forward(data, np.ones(data.shape, bool))
    width = np.abs(np.random.default_rng(1).normal(size=data.shape)).astype(np.float32)
    found = transform.inverse_width(width, state)
    assert found.dtype == np.float32
    upper, lower = (transform.inverse(v, state) for v in (normalized + width, normalized))
    np.testing.assert_allclose(found, upper - lower, rtol=1e-3, atol=1e-3)
    assert not transform.inverse_width(0 * width, state).any()
    cube = transform.inverse_width(np.stack([width, 2 * width]), state)
    np.testing.assert_allclose(cube[1], 2 * found, rtol=1e-6)


@pytest.mark.parametrize("name", ["asinh", "log"])
def test_what_bends_gives_a_width_as_at_the_sky(name: str) -> None:
    transform, data = made({"name": name}), sky()
    _, state = transform.forward(data, np.ones(data.shape, bool))
    width = np.full(data.shape, 1e-3, np.float32)
    upper, lower = (transform.inverse(sign * width, state) for sign in (0.5, -0.5))
    difference = upper.astype(np.float64) - lower
    # float32 values of 300 are 3e-5 apart.
    np.testing.assert_allclose(transform.inverse_width(width, state), difference, atol=1e-4)


def test_a_map_of_widths_follows_to_a_finer_grid() -> None:
    rng, growth = np.random.default_rng(1), np.linspace(1, 9, 200)
    data = (rng.normal(size=(64, 200)) * growth).astype(np.float32)
    transform = made({"name": "background_sigma", "box": 16})
    _, state = transform.forward(data, np.ones(data.shape, bool))
    fine = transform.inverse_width(np.ones((192, 600), np.float32), state)
    assert fine.shape == (192, 600)
    middle = slice(60, -60)
    expected = np.interp((np.arange(600) + 0.5) / 3 - 0.5, np.arange(200), growth)
    np.testing.assert_allclose(fine[90, middle], expected[middle], rtol=0.3)


def test_wrong_names_and_numbers_are_refused() -> None:
    with pytest.raises(ValidationError, match="asinh"):
        made({"name": "assinh"})
    with pytest.raises(ValidationError, match="greater than 0"):
        made({"name": "scale", "width": 0})
    with pytest.raises(ValidationError, match="Extra inputs"):
        made({"name": "identity", "box": 3})
