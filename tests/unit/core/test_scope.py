"""What is measured on a whole frame, when a stage gets the frame in parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.stage.kinds.mask import Masker
from astroclean.core.stage.resources import ImageResource
from astroclean.core.stage.results import Mask
from astroclean.core.stage.scope import Chunk, Scope, Survey, chunk_of, scope_of
from astroclean.errors import ContractError, StageError
from astroclean.testing.chunks import frame_chunks, run_in_chunks


class Highest(Survey):
    """First pass: the highest pixel. Second pass: how many are above half of it."""

    def __init__(self, half: float | None = None) -> None:
        self.highest, self.half, self.count = -np.inf, half, 0

    def add(self, frame: Frame, rows: slice) -> None:
        self.highest = max(self.highest, float(frame.data[rows].max()))
        if self.half is not None:
            self.count += int(np.count_nonzero(frame.data[rows] > self.half))

    def finish(self) -> tuple[float, int] | Survey:
        return Highest(self.highest / 2) if self.half is None else (self.half, self.count)


class Bright(Masker):
    """Flags what is above half of the highest, where that is no more than ten pixels."""

    sets = MaskPlane.BRIGHT

    def scope(self, frame: Frame) -> Scope:
        return Scope(0, survey=Highest())

    def find(self, frame: Frame) -> Mask:
        level, count = self.measured(frame)
        found = (frame.data > level) & (count <= 10)
        return Mask(found * np.uint32(MaskPlane.BRIGHT))


def noise(shape: tuple[int, int], seed: int = 2) -> Frame:
    return Frame(np.random.default_rng(seed).exponential(1, shape), unit="adu")


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 20)),
    rows=st.integers(1, 41),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_bands_know_the_whole_frame(shape: tuple[int, int], rows: int, seed: int) -> None:
    frame = noise(shape, seed)
    whole = Bright().run(frame).frame
    assert np.array_equal(run_in_chunks(Bright(), frame, rows=rows)["flags"], whole.flags)
    above = frame.data > frame.data.max() / 2
    assert np.array_equal(whole.where("BRIGHT"), above & (np.count_nonzero(above) <= 10))


def test_a_part_of_which_the_whole_was_not_measured_is_refused() -> None:
    """It would be judged by its own rows, and nobody would see it."""
    band, _ = next(frame_chunks(noise((30, 20)), rows=10, halo=0))
    with pytest.raises(ContractError, match="on the whole frame"):
        Bright().run(band)


def test_the_part_stays_with_the_frame_but_not_with_its_slices() -> None:
    part = Chunk((10, 0), (90, 20), {"bright": 1})
    frame = noise((30, 20)).replace(chunk=part)
    assert frame.replace(data=frame.data + 1).chunk is part
    assert Frame(frame).chunk is part
    assert frame[2:5].chunk is None
    assert chunk_of(frame[2:5]).shape == (3, 20)


def test_the_image_of_an_option_is_cut_like_the_frame() -> None:
    image = np.arange(600).reshape(30, 20)
    resource = ImageResource._validate(image)
    frame = noise((30, 20))
    assert np.array_equal(resource.image_for(frame), image)
    for band, own in frame_chunks(frame, rows=7, halo=3):
        assert band.chunk is not None
        first = band.chunk.origin[0]
        assert np.array_equal(resource.image_for(band), image[first : first + band.shape[0]])
        assert 0 < own.stop - own.start <= 7
    small, _ = next(frame_chunks(noise((31, 20)), rows=7, halo=3))
    with pytest.raises(StageError, match=r"shape of the frame \(31, 20\)"):
        resource.image_for(small)


@pytest.mark.parametrize(
    ("scope", "why"),
    [
        (3, "must return a Scope.*int"),
        (None, "must return a Scope.*NoneType"),
        (Scope(-1), "'halo'.*-1"),
        (Scope(2.5), "'halo'.*2.5"),  # type: ignore[arg-type]
        (Scope(True), "'halo'.*True"),
        (Scope(0, step=0), "'step'.*0"),
        (Scope(0, survey=Highest), "'survey'.*ABCMeta"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_scope_is_told_in_a_whole_frame_too(scope: Any, why: str) -> None:
    class Wrong(Masker):
        sets = MaskPlane.BRIGHT

        def scope(self, frame: Frame) -> Any:
            return scope

        def find(self, frame: Frame) -> Mask:
            return Mask(np.zeros(frame.shape, np.uint32))

    frame = noise((8, 8))
    with pytest.raises(ContractError, match=rf"stage 'wrong'.*{why}"):
        Wrong().run(frame)
    corner = frame[:1, :1].replace(chunk=Chunk((0, 0), frame.shape))
    with pytest.raises(ContractError, match=why):
        scope_of(Wrong(), corner)
