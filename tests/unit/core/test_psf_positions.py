"""A PSF that varies: what stamps at scattered positions tell of the places between them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from astroclean.core.image.frame import Frame
from astroclean.core.psf.positions import StampPositions
from astroclean.core.psf.psf import Psf

PLACES = st.tuples(st.floats(-50, 250), st.floats(-50, 250))
SIDE = 200.0


def scattered(seed: int, count: int) -> StampPositions:
    return StampPositions(np.random.default_rng(seed).uniform(0, SIDE, (count, 2)))


def enclosed(positions: StampPositions, place: tuple[float, float]) -> np.ndarray:
    """The place nearest to one that lies on a triangle or its edge, from all pairs of positions."""
    # Mixtures of a fine net of weights over all triples are dense in the convex hull.
    points, target = positions.places, np.array(place)
    best, least = points[0], np.inf
    for first in points:
        for second in points:
            step = second - first
            length = float(step @ step)
            part = np.clip((target - first) @ step / length, 0, 1) if length else 0.0
            away = float(np.hypot(*(first + part * step - target)))
            if away < least:
                best, least = first + part * step, away
    return best


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 10**6), st.integers(3, 12), PLACES)
def test_weights_are_parts_that_put_the_place_where_it_is(
    seed: int, count: int, place: tuple[float, float]
) -> None:
    from scipy.spatial import Delaunay

    positions = scattered(seed, count)
    weights = positions.weights(*place)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    assert np.count_nonzero(weights) <= 3
    centre = weights @ positions.places
    if Delaunay(positions.places).find_simplex(place) >= 0:
        # Linear precision: what changes linearly over the frame comes out as it is.
        np.testing.assert_allclose(centre, place, atol=1e-6)
    else:
        np.testing.assert_allclose(centre, enclosed(positions, place), atol=1e-6)


@given(st.integers(0, 10**6), st.integers(1, 12))
@settings(deadline=None, max_examples=40)
def test_at_a_position_its_own_stamp_is_all(seed: int, count: int) -> None:
    positions = scattered(seed, count)
    for number, place in enumerate(positions.places):
        np.testing.assert_allclose(positions.weights(*place), np.eye(count)[number], atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(3, 12), PLACES, st.floats(0, 2 * np.pi))
def test_nearby_places_have_nearby_weights(
    seed: int, count: int, place: tuple[float, float], angle: float
) -> None:
    positions = scattered(seed, count)
    gaps = np.hypot(*(positions.places[:, None] - positions.places).T)
    # Slivers: their weights change as fast as they are thin.
    assume(gaps[~np.eye(count, dtype=bool)].min() > 5)
    values = positions.places @ [1.0, 0.3]  # a linear field: its jump shows any
    step = 1e-4 * np.array([np.cos(angle), np.sin(angle)])
    one, other = (positions.weights(*p) @ values for p in (place, np.add(place, step)))
    assert abs(one - other) < 3e-4


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 9), PLACES)
@example(282, 9, (5.960464477539063e-08, 124.0))
def test_the_order_does_not_matter(seed: int, count: int, place: tuple[float, float]) -> None:
    rng = np.random.default_rng(seed)
    # Multiples of 20, so that some are on one circle or line.
    nodes = np.unique(20.0 * rng.integers(0, 8, (count, 2)), axis=0)
    order = rng.permutation(len(nodes))
    weights = StampPositions(nodes).weights(*place)
    shuffled = StampPositions(nodes[order]).weights(*place)
    # Of a place 6e-8 pixels from the border of two triangles either may be taken.
    np.testing.assert_allclose(shuffled, weights[order], atol=1e-7)


@pytest.mark.parametrize("step", [(0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (3.0, -2.0)])
def test_positions_on_a_line_are_joined_along_it(step: tuple[float, float]) -> None:
    nodes = 10 + np.outer([0.0, 30.0, 12.0], step)
    positions = StampPositions(nodes)
    between = 0.25 * nodes[2] + 0.75 * nodes[1]
    np.testing.assert_allclose(positions.weights(*between), [0, 0.75, 0.25], atol=1e-9)
    beyond = nodes[1] + 50 * np.array(step)
    np.testing.assert_allclose(positions.weights(*beyond), [0, 1, 0], atol=1e-9)


def test_a_grid_is_bilinear_and_says_so() -> None:
    x, y = (axis.ravel() for axis in np.meshgrid([0.0, 10, 40], [0.0, 20]))
    positions = StampPositions(np.column_stack([x, y]))
    assert positions.is_grid
    weights = positions.weights(25, 5)
    assert weights @ (x * y) == pytest.approx(25 * 5)  # bilinear, which no triangle gives
    assert not scattered(1, 4).is_grid


def linear_psf(places: np.ndarray) -> Psf:
    """A PSF that changes linearly: of two Gaussians, one counts the more the farther right."""
    narrow, wide = Psf.gaussian(fwhm_pixels=2.5), Psf.gaussian(fwhm_pixels=4.0)
    pad = (wide.fine.shape[1] - narrow.fine.shape[1]) // 2
    narrow_fine = np.pad(narrow.fine[0], pad)
    parts = (places @ [1.0, 0.5]) / 400
    fine = [p * wide.fine[0] + (1 - p) * narrow_fine for p in parts]
    return Psf.from_fine(np.stack(fine), places)


@settings(deadline=None, max_examples=20)
@given(st.floats(20, 180), st.floats(20, 180))
def test_scattered_stamps_draw_what_those_of_a_grid_do(x: float, y: float) -> None:
    grid = linear_psf(np.array([[0.0, 0], [SIDE, 0], [0, SIDE], [SIDE, SIDE]]))
    rng = np.random.default_rng(3)
    corners = np.array([[-5.0, -3], [210, -1], [-8, 207], [202, 203]])
    loose = linear_psf(np.concatenate([corners, rng.uniform(10, 190, (7, 2))]))
    assert not loose.is_constant
    one, other = (psf.drawn_at(x, y, 100.0) for psf in (grid, loose))
    np.testing.assert_array_equal(one.origin, other.origin)
    np.testing.assert_allclose(other.data, one.data, atol=2e-6 * one.data.max())


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 60), st.integers(0, 60), st.floats(0, 90), st.floats(0, 90))
def test_a_part_of_a_frame_has_the_psf_of_its_place(
    row: int, column: int, x: float, y: float
) -> None:
    psf = linear_psf(np.array([[0.0, 0], [SIDE, 0], [40, SIDE], [170, 150], [90, 20]]))
    frame = Frame(np.zeros((160, 170)), unit="adu", psf=psf)
    for part, first in (
        (frame[row : row + 95, column:], (row, column)),
        (frame[row:], (row, 0)),
        (frame[row:][:, column:], (row, column)),
        (frame[-100:, -90:], (60, 80)),
    ):
        assert part.psf is not None
        seen, whole = part.psf.at(x, y), psf.at(x + first[1], y + first[0])
        np.testing.assert_allclose(seen, whole, atol=1e-12)
    assert frame.psf is psf
    constant = frame.replace(psf=Psf.gaussian(fwhm_pixels=3))
    assert constant[5:].psf is constant.psf
