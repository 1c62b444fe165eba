"""Tiles: every pixel once, enough margin, in step with the frame, and back to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.errors import FrameError
from astroclean.tiling.plan import Tile, cut_tile, plan_tiles, tiles_within
from astroclean.tiling.stitch import put_core, stitch

shapes = st.tuples(st.integers(1, 70), st.integers(1, 70))
cores = st.integers(1, 40)
halos = st.integers(0, 20)
multiples = st.sampled_from([1, 2, 3, 4, 8, 16])


def numbered(shape: tuple[int, int]) -> np.ndarray:
    return np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)


@settings(deadline=None)
@given(shape=shapes, core=cores, halo=halos, multiple=multiples)
def test_cores_cover_each_pixel_once(
    shape: tuple[int, int], core: int, halo: int, multiple: int
) -> None:
    visits = np.zeros(shape, dtype=int)
    for tile in plan_tiles(shape, core=core, halo=halo, multiple=multiple):
        visits[tile.core] += 1
        assert all(0 < part.stop - part.start <= max(core, multiple) for part in tile.core)
    assert (visits == 1).all()


@settings(deadline=None)
@given(shape=shapes, core=cores, halo=halos, multiple=multiples)
def test_tiles_have_their_margin_and_their_multiple(
    shape: tuple[int, int], core: int, halo: int, multiple: int
) -> None:
    for tile in plan_tiles(shape, core=core, halo=halo, multiple=multiple):
        for axis in (0, 1):
            inner, outer, length = tile.core[axis], tile.padded[axis], shape[axis]
            assert outer.start <= max(0, inner.start - halo)
            assert outer.stop >= min(length, inner.stop + halo)
            assert 0 <= outer.start < outer.stop <= length
            assert outer.start % multiple == 0, "in step with the frame"
            assert tile.shape[axis] % multiple == 0
            assert tile.shape[axis] >= halo
            assert tile.trim[axis].start == inner.start - outer.start
            # Mirrored pixels stand only after the end of the frame, and no more than it takes.
            assert tile.mirrored[axis] == 0 or outer.stop == length
            assert tile.mirrored[axis] < multiple or length < halo


@settings(deadline=None)
@given(shape=shapes, core=cores, halo=halos, multiple=multiples, scale=st.integers(1, 4))
def test_what_does_nothing_gives_the_frame_back_to_the_bit(
    shape: tuple[int, int], core: int, halo: int, multiple: int, scale: int
) -> None:
    rng = np.random.default_rng(shape[0] * 100 + shape[1])
    # Any bits at all: NaN with payloads, infinities, negative zero.
    frame = rng.integers(0, 2**32, size=shape, dtype=np.uint32).view(np.float32)
    cells = np.ones((scale, scale), dtype=np.uint32)
    pieces = [
        (tile, np.kron(cut_tile(frame, tile).view(np.uint32), cells))
        for tile in plan_tiles(shape, core=core, halo=halo, multiple=multiple)
    ]
    result = stitch(reversed(pieces), shape=shape, scale=scale)
    assert np.array_equal(result, np.kron(frame.view(np.uint32), cells))


@settings(deadline=None)
@given(shape=shapes, core=cores, halo=halos, multiple=multiples)
def test_tiles_are_cut_from_the_frame_continued_by_reflection(
    shape: tuple[int, int], core: int, halo: int, multiple: int
) -> None:
    frame = numbered(shape)
    # numpy's own padding is the independent implementation.
    longest = [max(-(-max(n, halo) // multiple), 1) * multiple - n for n in shape]
    whole = np.pad(frame, [(0, longest[0]), (0, longest[1])], mode="reflect")
    for tile in plan_tiles(shape, core=core, halo=halo, multiple=multiple):
        (y, x), (ny, nx) = (part.start for part in tile.padded), tile.shape
        assert np.array_equal(cut_tile(frame, tile), whole[y : y + ny, x : x + nx])
        assert np.array_equal(cut_tile(frame, tile)[tile.trim], frame[tile.core])


def test_cores_are_about_equal() -> None:
    rows = sorted({t.core[0].start for t in plan_tiles((1000, 4), core=480, halo=16, multiple=8)})
    assert rows == [0, 336, 672], "not 480, 480 and a rest of 40"


def test_leading_axes_are_cut_along() -> None:
    cube = np.stack([numbered((5, 6)), -numbered((5, 6))])
    (tile,) = plan_tiles((5, 6), core=8, halo=0, multiple=4)
    assert cut_tile(cube, tile).shape == (2, 8, 8)
    assert np.array_equal(cut_tile(cube, tile)[1], cut_tile(cube[1], tile))


@pytest.mark.parametrize(
    ("shape", "more"),
    [
        ((0, 5), {"core": 4, "halo": 0}),
        ((5, 5), {"core": 0, "halo": 0}),
        ((5, 5), {"core": 4, "halo": -1}),
        ((5, 5), {"core": 4, "halo": 0, "multiple": 0}),
    ],
)
def test_impossible_plans_are_refused(shape: tuple[int, int], more: dict[str, int]) -> None:
    with pytest.raises(FrameError, match="tiles need a frame with pixels"):
        plan_tiles(shape, **more)


def test_a_lost_tile_is_noticed() -> None:
    frame = numbered((9, 9))
    pieces = [(tile, cut_tile(frame, tile)) for tile in plan_tiles((9, 9), core=4, halo=1)]
    with pytest.raises(FrameError, match="must cover the frame"):
        stitch(pieces[1:], shape=(9, 9))
    with pytest.raises(FrameError, match="must cover the frame"):
        stitch([], shape=(9, 9))


def test_an_answer_of_another_size_is_refused() -> None:
    part = slice(0, 4)
    tile = Tile(core=(part, part), padded=(part, part), trim=(part, part))
    with pytest.raises(FrameError, match=r"must be \(8, 8\) at scale 2"):
        put_core(np.zeros((8, 8)), tile, np.zeros((8, 7)), scale=2)


@settings(deadline=None)
@given(
    shape=shapes,
    core=cores,
    halo=halos,
    multiple=multiples,
    part=st.tuples(*[st.integers(0, 69)] * 4),
)
def test_tiles_of_a_part_are_those_of_the_frame(
    shape: tuple[int, int], core: int, halo: int, multiple: int, part: tuple[int, ...]
) -> None:
    tiles = plan_tiles(shape, core=core, halo=halo, multiple=multiple)
    origin = (min(part[0], shape[0] - 1), min(part[1], shape[1] - 1))
    size = (min(part[2] + 1, shape[0] - origin[0]), min(part[3] + 1, shape[1] - origin[1]))
    image = numbered(shape)
    inside = image[origin[0] : origin[0] + size[0], origin[1] : origin[1] + size[1]]
    whole = {tuple(part.start for part in tile.core): tile for tile in tiles}
    found = tiles_within(tiles, origin=origin, shape=size)
    for tile in found:
        place = tuple(part.start + first for part, first in zip(tile.core, origin, strict=True))
        assert np.array_equal(cut_tile(inside, tile), cut_tile(image, whole[place]))
    if size == shape:
        assert found == tiles


@settings(deadline=None)
@given(shape=shapes, core=cores, halo=halos, multiple=multiples, first=st.integers(0, 9))
def test_rows_of_cores_with_the_halo_hold_their_tiles(
    shape: tuple[int, int], core: int, halo: int, multiple: int, first: int
) -> None:
    """What the predictor tells the runner."""
    tiles = plan_tiles(shape, core=core, halo=halo, multiple=multiple)
    rows = sorted({(tile.core[0].start, tile.core[0].stop) for tile in tiles})
    begin, end = rows[min(first, len(rows) - 1)]
    margin = max(-(-halo // multiple) * multiple, multiple - 1)
    start, stop = max(begin - margin, 0), min(end + margin, shape[0])
    held = tiles_within(tiles, origin=(start, 0), shape=(stop - start, shape[1]))
    columns = {tile.core[1].start for tile in tiles}
    assert {t.core[1].start for t in held if t.core[0].start + start == begin} == columns
