"""Blocks cover a frame once, and lie where they lie however it is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astroclean.core.stage.scope import Chunk
from astroclean.tiling.blocks import Block, BlockGrid

GRID = BlockGrid(core=512, around=128)


@given(st.integers(1, 2400), st.integers(1, 2400))
def test_every_pixel_lies_in_one_core(ny: int, nx: int) -> None:
    count = np.zeros((ny, nx), dtype=np.uint8)
    for block in GRID.blocks((ny, nx), Chunk((0, 0), (ny, nx))):
        count[block.core] += 1
        for core, read, length in zip(block.core, block.read, (ny, nx), strict=True):
            assert read.start == max(core.start - GRID.around, 0)
            assert read.stop == min(core.stop + GRID.around, length)
        assert block.origin == (block.read[0].start, block.read[1].start)
    assert (count == 1).all()


@pytest.mark.parametrize("rows", [GRID.core, 2 * GRID.core])
@pytest.mark.parametrize("height", [1400, 2049, 3000])
def test_chunks_have_the_blocks_of_the_whole_that_they_own(height: int, rows: int) -> None:
    shape, halo = (height, 700), GRID.core + GRID.around
    whole = {_corners(block, 0) for block in GRID.blocks(shape, Chunk((0, 0), shape))}
    for start in range(0, height, rows):
        first, last = max(start - halo, 0), min(start + rows + halo, height)
        chunk = Chunk((first, 0), shape)
        moved = {_corners(block, first) for block in GRID.blocks((last - first, 700), chunk)}
        assert moved <= whole
        owned = {one for one in whole if start <= one[0] < start + rows}
        assert owned <= moved
        # Sources beside the own rows are seen by the blocks above and below.
        for side in (start - GRID.core, start + rows):
            assert {one for one in whole if one[0] == side} <= moved


GRID = BlockGrid(core=512, around=128)


def _corners(block: Block, first: int) -> tuple[int, ...]:
    """Return where a block begins and ends in the frame, first rows of its core."""
    rows = [edge + first for side in (block.core[0], block.read[0]) for edge in _edges(side)]
    return (*rows, *_edges(block.core[1]), *_edges(block.read[1]))


def _edges(side: slice) -> tuple[int, int]:
    return side.start, side.stop
