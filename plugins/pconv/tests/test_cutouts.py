"""Cut-outs fill each pixel of holes once, with enough around it, wherever a frame begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astroclean_pconv.fill.cutouts import REACH, SIDES, CutOut, plan_cutouts
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from numpy.typing import NDArray


def holes(seed: int, shape: tuple[int, int] = (300, 340)) -> NDArray[np.bool_]:
    """Disks of any size, columns, rows, tracks and single pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    found = rng.random(shape) < rng.choice([0.0, 1e-4, 3e-3])
    for _ in range(rng.integers(0, 12)):
        radius, center = rng.choice([2, 5, 9, 20, 40, 70]), rng.uniform(-5, np.add(shape, 5))
        found |= np.hypot(y - center[0], x - center[1]) <= radius
    for _ in range(rng.integers(0, 3)):
        found[:, rng.integers(shape[1])] = True
    if rng.random() < 0.3:
        found[rng.integers(shape[0])] = True
    if rng.random() < 0.3:
        found |= np.abs(y - 0.4 * x - rng.uniform(0, shape[0])) < 1.5
    return found


def owners(plan: list[CutOut], shape: tuple[int, int]) -> NDArray[np.intp]:
    """How many cut-outs own each pixel."""
    counts = np.zeros(shape, dtype=int)
    for one in plan:
        rows, columns = np.nonzero(one.own)
        np.add.at(counts, (rows + one.y, columns + one.x), 1)
    return counts


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 100_000))
def test_every_pixel_of_a_hole_is_filled_with_its_margin(seed: int) -> None:
    """Once where one cut-out shows its hole; by some that overlap, with weights, elsewhere."""
    mask = holes(seed)
    plan = plan_cutouts(mask)
    single = owners([one for one in plan if not one.shared], mask.shape)
    shared = owners([one for one in plan if one.shared], mask.shape)
    np.testing.assert_array_equal((single == 1) != (shared > 0), mask)
    assert single.max(initial=0) <= 1
    assert shared.max(initial=0) <= 4
    for one in plan:
        assert one.side in SIDES
        if one.shared:
            assert (one.weight[one.own] > 0).all()
            continue
        rows, columns = np.nonzero(one.own)
        margin = (one.side - SIDES[one.side]) // 2
        for axis in (rows, columns):
            assert axis.min() >= margin
            assert axis.max() < one.side - margin
    assert [one.side for one in plan] == sorted(one.side for one in plan)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 100_000), st.integers(0, 200), st.integers(0, 200))
def test_a_plan_moves_with_its_frame(seed: int, up: int, left: int) -> None:
    """Holes that lie within a part are planned as in the whole, if the part tells where it is."""
    mask = holes(seed)
    plan = plan_cutouts(mask, origin=(up, left))
    wide = np.pad(mask, ((up, 7), (left, 3)))
    whole = plan_cutouts(wide)
    assert [(one.side, one.y + up, one.x + left) for one in plan] == [
        (one.side, one.y, one.x) for one in whole
    ]
    for one, other in zip(plan, whole, strict=True):
        np.testing.assert_array_equal(one.own, other.own)


def placed(plan: list[CutOut], shape: tuple[int, int], first: int = 0) -> NDArray[np.intp]:
    """Side, row and column of the cut-out that fills each pixel."""
    found = np.zeros((3, *shape), dtype=int)
    for one in plan:
        for plane, value in zip(found, (one.side, one.y + first, one.x), strict=True):
            one.put(plane, np.full(one.own.shape, value), one.own)
    return found


Y, X = np.indices((1500, 220))
BEYOND = {
    "a column": np.abs(X - 60) <= 1,
    "a steep track": np.abs(X - 20 - 0.05 * Y) <= 1,
    "a column that ends in a row": (X == 20) | (Y == 1480),
}


@pytest.mark.parametrize("case", BEYOND)
def test_what_lies_beyond_the_reach_does_not_matter(case: str) -> None:
    """So that bands of rows, with this halo, give the bytes of the whole frame."""
    mask = BEYOND[case]
    whole, part = plan_cutouts(mask), plan_cutouts(mask[: 400 + REACH])
    first, second = (placed(plan, mask.shape)[:, :400] for plan in (whole, part))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("length", [200, 1000])
def test_huge_holes_are_shared(length: int) -> None:
    mask = np.zeros((length, 300), dtype=bool)
    mask[:, 140:143] = True
    plan = plan_cutouts(mask)
    assert 2 <= len(plan) <= 2 * (length // SIDES[256] + 2)
    assert {one.side for one in plan} == {256}
    block = np.ones((length, 300), dtype=bool)
    weights = np.zeros(block.shape, dtype=np.float32)
    for one in plan_cutouts(block):
        one.add(weights, one.weight, one.own)
    # No pixel hangs on the rims of cut-outs alone.
    assert weights.min() > 0.5


def test_small_holes_of_a_neighborhood_share_a_cutout_and_large_ones_are_alone() -> None:
    mask = np.zeros((400, 400), dtype=bool)
    mask[100, 100] = mask[103, 103] = mask[109:111, 98] = True
    assert [one.side for one in plan_cutouts(mask)] == [64]
    mask[200:240, 200:230] = True
    assert [one.side for one in plan_cutouts(mask)] == [64, 96]
    mask[300:350, 300:301] = True
    assert [one.side for one in plan_cutouts(mask)] == [64, 96, 128]
    assert [one.side for one in plan_cutouts(mask, sides=[96, 256])] == [96, 96, 256]
    assert plan_cutouts(np.zeros((50, 60), dtype=bool)) == []
