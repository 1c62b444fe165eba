"""Grids: where pixels lie in the frame and on the sky."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astroclean.core.image.grid import Grid
from astroclean.errors import FrameError
from astroclean.testing.frames import synthetic_frame

FRAME = Grid.from_frame(synthetic_frame())


def corner(grid: Grid) -> object:
    assert grid.wcs is not None
    return grid.wcs.pixel_to_world(-0.5, -0.5)


@given(st.integers(1, 5))
def test_a_finer_grid_covers_the_same_sky(factor: int) -> None:
    finer = FRAME.finer(factor)
    assert finer.shape == (FRAME.shape[0] * factor, FRAME.shape[1] * factor)
    assert corner(finer).separation(corner(FRAME)).arcsec < 1e-6
    assert finer.pixel_scale == pytest.approx(FRAME.pixel_scale / factor)
    assert finer.is_frame == (factor == 1)


@given(st.integers(0, 60), st.integers(1, 30), st.integers(1, 4))
def test_rows_lie_where_they_were(first: int, count: int, factor: int) -> None:
    finer = FRAME.finer(factor)
    part = finer.rows(slice(first, first + count))
    assert part.shape == (count, finer.shape[1])
    assert finer.offset(part) == pytest.approx((first, 0))
    assert finer.wcs is not None
    seen = finer.wcs.pixel_to_world(-0.5, first - 0.5)
    assert corner(part).separation(seen).arcsec < 1e-6


def test_a_finer_grid_sees_each_pixel_several_times() -> None:
    pixels = np.arange(FRAME.shape[0] * FRAME.shape[1]).reshape(FRAME.shape)
    expected = np.repeat(np.repeat(pixels, 3, axis=0), 3, axis=1)
    np.testing.assert_array_equal(FRAME.finer(3).seen_by(pixels), expected)


def test_grids_of_other_shapes_have_no_misalignment() -> None:
    with pytest.raises(FrameError, match="different shapes"):
        FRAME.misalignment(FRAME.finer(2))
    assert FRAME.misalignment(FRAME) == 0


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 9))
def test_a_grid_of_a_grid_has_its_place_in_the_frame(first: int, second: int, start: int) -> None:
    frame = Grid((40, 30))
    finer = frame.finer(first)
    rows = slice(start, start + 12)
    # As a stage sees it that is given the finer image as its frame.
    seen = Grid(finer.shape).finer(second).rows(rows)
    assert seen.within(finer).step == pytest.approx(1 / (first * second))
    expected = finer.finer(second).rows(rows)
    assert seen.within(finer).origin == pytest.approx(expected.origin)
    assert Grid(finer.shape).within(finer).origin == finer.origin


@pytest.mark.parametrize("step", [0.17, 0.5, 1.0, 1.37, 4.0])
def test_a_grid_of_any_step_covers_the_frame_from_the_same_corner(step: float) -> None:
    other = FRAME.with_step(step)
    assert corner(other).separation(corner(FRAME)).arcsec < 1e-6
    assert other.pixel_scale == pytest.approx(FRAME.pixel_scale * step)
    for ours, theirs in zip(other.shape, FRAME.shape, strict=True):
        assert theirs - 1e-5 <= ours * step < theirs + step
    y, x = other.places_in(FRAME)
    assert (y[0, 0], x[0, 0]) == pytest.approx((step / 2 - 0.5, step / 2 - 0.5), abs=1e-6)
    assert (y[-1, 0] - y[0, 0], x[0, -1] - x[0, 0]) == pytest.approx(
        ((other.shape[0] - 1) * step, (other.shape[1] - 1) * step)
    )


def test_places_without_a_sky_are_those_of_the_frame() -> None:
    frame = Grid((12, 10))
    part = frame.finer(2).rows(slice(4, 8))
    y, x = part.places_in(frame)
    np.testing.assert_allclose(y[:, 0], [1.75, 2.25, 2.75, 3.25])
    np.testing.assert_allclose(x[0, :3], [-0.25, 0.25, 0.75])


@pytest.mark.parametrize("step", [0.25, 0.37])
def test_rows_of_finer_pixels_do_not_end_where_the_frame_does(step: float) -> None:
    assert FRAME.wcs is not None
    wcs = FRAME.wcs.deepcopy()
    wcs.array_shape = FRAME.shape  # as files tell it
    other = Grid(FRAME.shape, wcs).with_step(step)
    assert other.wcs is not None
    first = other.shape[0] - 5
    part = other.rows(slice(first, first + 5))
    seen = other.wcs.pixel_to_world(-0.5, first - 0.5)
    assert corner(part).separation(seen).arcsec < 1e-6
