"""A PSF that varies is, in each chunk of a frame, that of the rows which the chunk has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from astroclean.core.image.frame import Frame
from astroclean.core.psf.psf import Psf
from astroclean.core.stage.scope import Chunk
from astroclean.runner.work.stages import with_psf
from astroclean.runner.work.state import FrameState
from astroclean.runner.work.statestore import HeldState, StateStore

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (90, 40)
NARROW, WIDE = (Psf.gaussian(fwhm_pixels=w).stamps[0] for w in (2.0, 4.0))
PSF = Psf(
    np.stack([np.pad(NARROW, (len(WIDE) - len(NARROW)) // 2), WIDE]),
    [(20, 0), (20, 89)],
    computed=True,
)


class Told:
    """A source that tells the PSF of the whole frame."""

    def psf_for(self, frame: Frame) -> tuple[Psf, str]:
        return PSF, "told"


def chunk(first: int, last: int, own: slice) -> Frame:
    frame = Frame(np.ones((last - first, SHAPE[1])), unit="adu")
    return frame.replace(chunk=Chunk((first, 0), SHAPE, own=own))


def told(frame: Frame) -> FrameState:
    source: Any = Told()
    return with_psf(FrameState(frame), source)


@pytest.mark.parametrize("first", [0, 25, 60])
def test_a_chunk_is_told_the_psf_of_its_rows(first: int) -> None:
    psf = told(chunk(first, first + 30, slice(5, 25))).frame.psf
    assert psf is not None
    for y in (-3.0, 0.0, 12.5, 29.0, 40.0):
        np.testing.assert_allclose(psf.at(7, y), PSF.at(7, y + first), atol=1e-15)


def test_it_stays_so_where_other_chunks_are_taken_of_a_frame_on_disk(tmp_path: Path) -> None:
    store = StateStore(SHAPE, tmp_path, (), HeldState())
    for begins, ends in ((0, 40), (40, 90)):
        frame = chunk(max(begins - 10, 0), min(ends + 10, 90), slice(None))
        own = slice(begins - frame.chunk.origin[0], ends - frame.chunk.origin[0])
        store.add(frame, told(frame), own)
    for first, last in ((0, 20), (15, 60), (70, 90)):
        psf = store.state(chunk(first, last, slice(None))).frame.psf
        assert psf is not None
        np.testing.assert_allclose(psf.at(7, 3), PSF.at(7, 3 + first), atol=1e-12)
