"""Stamps: cutting and putting back is the identity, wherever a frame begins and ends."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from astropy.nddata import Cutout2D
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.errors import FrameError
from astroclean.tiling.stamps import StampBox, add_stamps, stamp_boxes

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))
BOXES = st.builds(StampBox, st.integers(-30, 50), st.integers(-30, 50), st.integers(1, 24))


@settings(deadline=None, max_examples=100)
@given(SHAPES, st.lists(BOXES, max_size=6), st.integers(0, 3))
def test_cutting_and_putting_back_is_the_identity(
    shape: tuple[int, int], boxes: list[StampBox], bands: int
) -> None:
    image = np.random.default_rng(1).normal(size=(*[3] * (bands > 0), *shape))
    back, built = image.copy(), np.zeros_like(image)
    seen = np.zeros(shape, dtype=bool)
    for box in boxes:
        shown = box.cut(image, outside=np.nan)
        box.put(back, shown)
        box.put(built, shown)
        box.put(seen, np.ones((box.side, box.side), dtype=bool))
        assert shown.shape == (*image.shape[:-2], box.side, box.side)
    assert back.tobytes() == image.tobytes()
    assert built.tobytes() == np.where(seen, image, 0.0).tobytes()


@settings(deadline=None, max_examples=60)
@given(SHAPES, BOXES, st.integers(0, 1000))
def test_only_what_is_asked_for_is_written(
    shape: tuple[int, int], box: StampBox, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    where = rng.random((box.side, box.side)) < 0.5
    stamp = rng.normal(size=(2, box.side, box.side))
    put, added = np.zeros((2, *shape)), np.ones((2, *shape))
    box.put(put, stamp, where)
    box.add(added, stamp, where)
    expected = np.zeros_like(put)
    for row, column in zip(*np.nonzero(where), strict=True):
        y, x = row + box.y, column + box.x
        if 0 <= y < shape[0] and 0 <= x < shape[1]:
            expected[:, y, x] = stamp[:, row, column]
    np.testing.assert_array_equal(put, expected)
    np.testing.assert_array_equal(added, 1 + expected)


@settings(deadline=None, max_examples=100)
@given(st.floats(-0.4, 39.4), st.floats(-0.4, 29.4), st.integers(1, 16), st.integers(0, 10_000))
def test_a_stamp_lies_where_that_of_astropy_does_and_moves_with_its_frame(
    x: float, y: float, side: int, start: int
) -> None:
    image = np.arange(30.0 * 40).reshape(30, 40)
    (box,) = stamp_boxes(np.array([[x, y]]), side)
    other = Cutout2D(image, (x, y), side, mode="partial", fill_value=-1.0)
    np.testing.assert_array_equal(box.cut(image, outside=-1.0), other.data)
    for place, first in ((x, box.x), (y, box.y)):
        assert abs(place - (first + (side - 1) / 2)) <= 0.5 + 1e-12
    # The place as a catalogue of the larger frame tells it, and as that of the part does.
    whole = np.array([[x + start, y + start]])
    (far,) = stamp_boxes(whole, side)
    (part,) = stamp_boxes(whole - start, side, origin=(start, start))
    assert (part.y + start, part.x + start) == (far.y, far.x)


def test_stamps_that_overlap_add_up_to_the_same_bits_in_any_order() -> None:
    rng = np.random.default_rng(4)
    boxes = stamp_boxes(rng.uniform(-3, 23, (5, 2)), 12)
    stamps = list(1e3 ** rng.normal(size=(5, 12, 12)))
    sums = []
    for order in itertools.permutations(range(5)):
        total = np.zeros((20, 20))
        add_stamps(total, [boxes[k] for k in order], [stamps[k] for k in order])
        sums.append(total.tobytes())
    assert len(set(sums)) == 1
    assert len({sum(stamps[k] for k in order).tobytes() for order in ([0, 1, 2], [2, 1, 0])}) == 2


def test_no_source_and_no_position() -> None:
    assert stamp_boxes(np.zeros((0, 2)), 5) == []
    with pytest.raises(FrameError, match=r"finite position \(got 1 that are not\)"):
        stamp_boxes(np.array([[1.0, 2.0], [np.nan, 3.0]]), 5)
