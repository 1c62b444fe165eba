"""Holes of any size, shape and layout are filled without seams, and no deeper than is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astroclean_pconv.fill.cutouts import SIDES
from astroclean_pconv.fill.depths import DEEPEST, deeper_than
from astroclean_pconv.fill.filling import Surroundings
from hypothesis import given, settings
from hypothesis import strategies as st
from maps_of_sources import listed, run

from astroclean.core.image.frame import Frame
from astroclean.core.image.uncertainty import deviation_of
from astroclean.registry.load import load_stage

SIDE = 320
Y, X = np.indices((SIDE, SIDE), dtype=float)
FIXED = {
    "hole_unit": "pixel",
    "hole_limits": (),
    "hole_source": 5.0,
    "hole_annulus": (30.0, 40.0),
    "noise": "none",
}


def clouds(seed: int = 3, *, scale: float = 12.0) -> np.ndarray:
    """Smooth emission on a slope, without any noise; steps from pixel to pixel are below 20."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None])
    frequency[0, 0] = np.inf
    power = frequency**-2.0 * np.exp(-0.5 * (2 * np.pi * scale * np.minimum(frequency, 1)) ** 2)
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((SIDE, SIDE))) * power).real
    return 1000 + 3 * X + 2 * Y + 300 * field / field.std()


def grid(spacing: float, low: float, high: float) -> np.ndarray:
    line = np.arange(low, high + 1, spacing)
    return np.array([(x, y) for x in line for y in line])


LAYOUTS = {
    "the issue's": (grid(20, 60, 260), 25.0),
    "narrower": (grid(14, 70, 250), 12.0),
    "with gaps between": (grid(28, 40, 280), 18.0),
    "at a border": (grid(20, 0, 200), 25.0),
    "in a corner": (grid(25, 180, 330), 30.0),
    "a diagonal": (np.array([(12.0 * k, 12.0 * k) for k in range(26)]), 10.0),
    "larger than a cut-out": (np.array([[160.0, 150.0]]), 140.0),
    "a ring": (
        160 + 110 * np.array([(np.cos(a), np.sin(a)) for a in np.linspace(0, 2 * np.pi, 60)]),
        15.0,
    ),
    "by chance": (np.random.default_rng(8).uniform(20, 300, (150, 2)), 14.0),
}


def filled(places: np.ndarray, radius: float, image: np.ndarray, **options: Any) -> Any:
    frame = Frame(image.astype(np.float32), unit="Jy", sources=listed(places), frame_id="map")
    return run(frame, **(FIXED | {"hole_radii": (radius,)} | options))


def steps(image: np.ndarray, where: np.ndarray, axis: int) -> np.ndarray:
    """The median step over each line between pixels that are both filled, of lines that have some.

    A seam is a step all along a line; what is steep at a place is not.
    """
    pairs = np.moveaxis(where, axis, 0)
    both = pairs[1:] & pairs[:-1]
    step = np.abs(np.diff(np.moveaxis(image, axis, 0).astype(float), axis=0))
    return np.array(
        [np.median(s[b]) if b.sum() > 8 else 0.0 for s, b in zip(step, both, strict=True)]
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_line_across_what_is_filled_is_a_seam(layout: str) -> None:
    places, radius = LAYOUTS[layout]
    image = clouds()
    result = filled(places, radius, image)
    where = result.frame.where("REMOVED")
    assert result.metrics["pixels left"] == 0
    for axis in (0, 1):
        across = steps(result.frame.data, where, axis)
        usual = np.abs(np.diff(image, axis=axis)).max()
        assert across.max() < 1.6 * usual
        # No step of any single pixel is much more than the map's own.
        pairs = np.moveaxis(where, axis, 0)
        data = np.moveaxis(result.frame.data, axis, 0)
        assert np.abs(np.diff(data, axis=0))[pairs[1:] & pairs[:-1]].max() < 5 * usual


@pytest.mark.slow
@settings(deadline=None, max_examples=6)
@given(
    st.integers(0, 1000),
    st.integers(20, 160),
    st.floats(8, 32),
)
def test_nor_is_any_of_holes_by_chance(seed: int, count: int, radius: float) -> None:
    places = np.random.default_rng(seed).uniform(-10, SIDE + 10, (count, 2))
    image = clouds(seed)
    result = filled(places, radius, image)
    where = result.frame.where("REMOVED")
    for axis in (0, 1):
        usual = np.abs(np.diff(image, axis=axis)).max()
        assert steps(result.frame.data, where, axis).max(initial=0) < 2 * usual


@pytest.mark.parametrize("radius", [26, 45, 60, 90, 125])
def test_the_deep_of_a_hole_is_as_far_off_as_it_says(radius: float) -> None:
    """Before, stated errors of holes of 60 pixels were 10 times too small, of 90 a thousand."""
    image = clouds(5)
    result = filled(np.array([[160.0, 160.0]]), radius, image)
    where = result.frame.where("REMOVED")
    error = (result.frame.data - image)[where]
    assert np.sqrt(np.mean((error / deviation_of(result.frame.uncertainty)[where]) ** 2)) < 2.5
    assert error.std() < image.std()


@pytest.mark.slow
def test_noise_of_a_huge_hole_is_as_strong_as_around_it() -> None:
    rng = np.random.default_rng(1)
    image = 1000 + 10 * rng.standard_normal((SIDE, SIDE))
    places, radius = LAYOUTS["the issue's"]
    with_noise, without = (filled(places, radius, image, **told) for told in _NOISES)
    where = with_noise.frame.where("REMOVED")
    drawn = (with_noise.frame.data - without.frame.data)[where]
    assert drawn.std() == pytest.approx(10, rel=0.1)


_NOISES: tuple[dict[str, Any], ...] = ({"noise": "match"}, {"noise": "none"})


def test_flagged_pixels_too_deep_are_left_and_counted() -> None:
    image = clouds()
    bad = np.hypot(Y - 150, X - 170) <= 60
    frame = Frame(image.astype(np.float32), unit="Jy", frame_id="map").add_planes(bad, "BAD")
    result = load_stage("pconv", fill="flags", planes=["BAD"], noise="none").run(frame)
    where = result.frame.where("INPAINTED")
    deep = bad & (np.hypot(Y - 150, X - 170) < 60 - DEEPEST - 1)
    assert not where[deep].any()
    assert result.metrics["pixels left too deep"] == np.count_nonzero(bad & ~where)
    assert result.frame.data[deep].tobytes() == frame.data[deep].tobytes()
    rim = bad & (np.hypot(Y - 150, X - 170) > 60 - DEEPEST + 1)
    assert where[rim].all()


def test_depth_is_that_of_the_nearest_pixel_that_is_seen() -> None:
    hole = np.zeros((200, 220), dtype=bool)
    hole[50:150, 60:170] = True
    around = Surroundings(np.zeros(hole.shape), np.ones(hole.shape, dtype=bool), hole)
    y, x = np.indices(hole.shape)
    depth = np.minimum.reduce([y - 49, 150 - y, x - 59, 170 - x])
    for least in (5.0, 20.0, DEEPEST):
        np.testing.assert_array_equal(deeper_than(around, least), hole & (depth > least))
    assert not deeper_than(around, 60).any()
    assert max(SIDES.values()) // 2 > DEEPEST
    nothing = Surroundings(np.zeros(hole.shape), hole, np.ones_like(hole))
    assert not deeper_than(nothing, 5).any()
