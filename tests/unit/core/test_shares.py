"""A frame shared out among models: nothing is lost, nothing is made, nothing depends on order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from astropy.table import QTable
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.core.flags.planes import MaskPlane
from astroclean.core.image.frame import Frame
from astroclean.core.sources.shares import LIT, model_image, with_shares
from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.core.stage.scope import Chunk
from astroclean.errors import FrameError

SHAPE = (24, 20)
SETTINGS = settings(deadline=None, max_examples=80)


def sources_of(stamps: list[SourceStamp]) -> Sources:
    ids = list(dict.fromkeys(stamp.id for stamp in stamps))
    return Sources(
        QTable({"id": ids, "x": np.zeros(len(ids)), "y": np.zeros(len(ids))}), None, tuple(stamps)
    )


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Sources, Frame]:
    """Models of all sizes and brightnesses on a frame with noise, holes and rejected pixels."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    stamps = []
    for number in range(1, draw(st.integers(0, 7)) + 1):
        ny, nx = draw(st.tuples(st.integers(1, 15), st.integers(1, 15)))
        origin = draw(st.tuples(st.integers(-8, SHAPE[0]), st.integers(-8, SHAPE[1])))
        y, x = np.indices((ny, nx))
        place, width = rng.uniform((0, 0), (ny, nx)), rng.uniform(0.3, 4)
        light = np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / (2 * width**2))
        light += rng.normal(0, 1e-8, light.shape)  # rounding of a Fourier transform
        scale = 10.0 ** draw(st.sampled_from([-30, -9, 0, 3, 12]))
        stamps.append(SourceStamp(7 * number, origin, (scale * light).astype(np.float32)))
    unit = 10.0 ** draw(st.sampled_from([-20, 0, 5]))
    data = (unit * rng.normal(0.5, 3, SHAPE)).astype(np.float32)
    flags = np.zeros(SHAPE, np.uint32)
    flags[rng.random(SHAPE) < 0.03] = MaskPlane.SATURATED
    data[rng.random(SHAPE) < 0.03] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    return sources_of(stamps), Frame(data, unit="adu", flags=flags)


def added(sources: Sources, left: Any, dtype: Any) -> Any:
    total = np.zeros(left.shape, dtype)
    for stamp in sources.stamps:
        on_image, of_box = stamp.overlap(left.shape)
        assert stamp.share is not None
        total[on_image] += stamp.share[of_box]
    return total + left


@SETTINGS
@given(scene=scenes(), order=st.randoms(use_true_random=False))
def test_shares_and_what_is_left_are_the_frame(scene: Any, order: Any) -> None:
    sources, frame = scene
    shared, left = with_shares(sources, frame)
    mixed = list(shared.stamps)
    order.shuffle(mixed)
    mixed_up = replace(shared, stamps=tuple(mixed))
    # In double precision, to the bit, with what is not finite.
    np.testing.assert_array_equal(added(mixed_up, left, np.float64).astype(np.float32), frame.data)
    # In that of the frame, within its rounding.
    boxes = np.zeros(SHAPE)
    for stamp in shared.stamps:
        boxes[stamp.overlap(SHAPE)[0]] += 1
    usable = frame.usable
    light = frame.data[usable].astype(float)
    error = np.abs(added(mixed_up, left, np.float32)[usable] - light)
    assert (error <= (boxes[usable] + 1) * 2.0**-24 * np.abs(light)).all()


@SETTINGS
@given(scene=scenes())
def test_unusable_pixels_and_signs_stay(scene: Any) -> None:
    sources, frame = scene
    shared, left = with_shares(sources, frame)
    np.testing.assert_array_equal(left[~frame.usable], frame.data[~frame.usable])
    for stamp in shared.stamps:
        on_image, of_box = stamp.overlap(SHAPE)
        assert stamp.share is not None
        share, data = stamp.share[of_box], frame.data[on_image]
        assert stamp.share.dtype == np.float32
        assert np.isfinite(stamp.share).all()
        assert not share[~frame.usable[on_image]].any()
        outside = np.ones(stamp.data.shape, bool)
        outside[of_box] = False
        assert not stamp.share[outside].any()
        good = frame.usable[on_image]
        assert (np.abs(share) <= np.abs(data))[good].all()
        given = good & (share != 0)
        np.testing.assert_array_equal(np.signbit(share[given]), np.signbit(data[given]))
        assert not share[stamp.data[of_box] <= 0].any()


@SETTINGS
@given(scene=scenes(), order=st.randoms(use_true_random=False))
def test_the_order_of_sources_and_their_numbers_do_not_matter(scene: Any, order: Any) -> None:
    sources, frame = scene
    stamps = list(sources.stamps)
    order.shuffle(stamps)
    shared, left = with_shares(sources, frame)
    other, other_left = with_shares(sources_of([replace(s, id=1000 - s.id) for s in stamps]), frame)
    assert left.tobytes() == other_left.tobytes()
    for number, stamp in shared.images().items():
        assert stamp.share.tobytes() == other.images()[1000 - number].share.tobytes()
    summed = model_image(sources, SHAPE)
    assert summed.tobytes() == model_image(replace(sources, stamps=tuple(stamps)), SHAPE).tobytes()


@SETTINGS
@given(scene=scenes())
def test_a_lone_source_gets_all_that_it_lights(scene: Any) -> None:
    sources, frame = scene
    for stamp in sources.stamps:
        shared, left = with_shares(sources_of([stamp]), frame)
        on_image, of_box = stamp.overlap(SHAPE)
        (own,) = shared.stamps
        model, data = stamp.data[of_box], frame.data[on_image]
        lit = (model > LIT * stamp.data.max()) & frame.usable[on_image]
        assert own.share is not None
        np.testing.assert_array_equal(own.share[of_box], np.where(lit, data, 0))
        np.testing.assert_array_equal(left[on_image][lit], 0)


@SETTINGS
@given(scene=scenes(), top=st.integers(0, 10), bottom=st.integers(14, 24))
def test_a_chunk_has_the_shares_of_the_whole(scene: Any, top: int, bottom: int) -> None:
    sources, frame = scene
    whole, left = with_shares(sources, frame)
    # What lies beyond the chunk lights none of its pixels.
    near = [s for s in sources.stamps if s.slices()[0].stop > top and s.origin[0] < bottom]
    moved = [replace(s, origin=(s.origin[0] - top, s.origin[1])) for s in near]
    chunk = frame[top:bottom].replace(chunk=Chunk((top, 0), SHAPE))
    part, part_left = with_shares(sources_of(moved), chunk)
    assert part_left.tobytes() == left[top:bottom].tobytes()
    for number, stamp in part.images().items():
        first = max(top - whole.images()[number].origin[0], 0)
        inside = slice(first, first + stamp.overlap(chunk.shape)[0][0].stop)
        theirs = whole.images()[number].share
        rows = stamp.overlap(chunk.shape)[1][0]
        assert inside.start == rows.start
        np.testing.assert_array_equal(stamp.share[rows], theirs[rows])
    summed = model_image(sources, SHAPE)[top:bottom]
    assert model_image(sources_of(moved), chunk.shape).tobytes() == summed.tobytes()


def test_light_is_shared_out_as_the_models_say() -> None:
    ours = SourceStamp(1, (0, 0), np.array([[3, 1, 0]], np.float32))
    theirs = SourceStamp(2, (0, 1), np.array([[3, 1]], np.float32))
    frame = Frame(np.array([[9, -8, 5, 7]], np.float32), unit="adu")
    shared, left = with_shares(sources_of([ours, theirs]), frame)
    one, two = shared.stamps
    assert one.share is not None
    assert two.share is not None
    assert one.share.tolist() == [[9, -2, 0]]
    assert two.share.tolist() == [[-6, 5]]
    assert left.tolist() == [[0, 0, 0, 7]]
    assert model_image(shared, frame.shape).tolist() == [[3, 4, 1, 0]]
    assert ours.share is None


def test_rounding_of_a_bright_model_owns_nothing() -> None:
    """Below a millionth of its peak a model drawn in float32 is noise of its Fourier transform."""
    bright = SourceStamp(1, (0, 0), np.array([[1e6, 1e-4]], np.float32))
    faint = SourceStamp(2, (0, 1), np.array([[1e-5]], np.float32))
    shared, _ = with_shares(sources_of([bright, faint]), Frame(np.full((1, 2), 4.0), unit="adu"))
    assert [s.share.tolist() for s in shared.stamps if s.share is not None] == [[[4, 0]], [[4]]]


def test_one_band_is_shared_out_and_the_others_stay() -> None:
    pixel = np.ones((1, 1), np.float32)
    sources = sources_of([SourceStamp(1, (0, 0), pixel, band) for band in "gr"])
    frame = Frame(np.full((1, 1), 5.0), unit="adu")
    shared, left = with_shares(sources, frame, "r")
    assert [(s.band, s.share is None) for s in shared.stamps] == [("g", True), ("r", False)]
    assert left.tolist() == [[0]]
    with pytest.raises(FrameError, match=r"no models in the band ''.*'g', 'r'"):
        with_shares(sources, frame)
    none, left = with_shares(sources_of([]), frame)
    assert len(none) == 0
    assert left.tolist() == [[5]]


def test_a_model_that_is_not_finite_is_refused() -> None:
    stamp = SourceStamp(4, (0, 0), np.array([[1, np.nan]], np.float32))
    with pytest.raises(FrameError, match=r"source 4.*not finite"):
        with_shares(sources_of([stamp]), Frame(np.ones((2, 2)), unit="adu"))


def test_share_and_model_have_one_box_and_cannot_be_written_to() -> None:
    pixels = np.ones((2, 3), np.float32)
    with pytest.raises(FrameError, match=r"share of source 1 .*\(2, 3\).*got \(3, 2\)"):
        SourceStamp(1, (0, 0), pixels, share=pixels.T)
    sources = sources_of([SourceStamp(1, (0, 0), pixels, share=pixels.copy())]).read_only()
    (stamp,) = sources.stamps
    assert stamp.share is not None
    assert not stamp.share.flags.writeable
    assert pixels.flags.writeable


class TestSegmentationImage:
    def test_photutils_gets_the_labels_as_they_are(self) -> None:
        pytest.importorskip("photutils")
        labels = np.zeros((6, 8), np.int32)
        labels[1:3, 1:4], labels[4, 5:7] = 7, 3
        table = QTable({"id": [7, 3], "x": [2.0, 5.5], "y": [1.5, 4.0]})
        sources = Sources(table, labels).read_only()
        image = sources.segmentation_image()
        assert image.labels.tolist() == [3, 7]
        assert image.get_areas([7, 3]).tolist() == [6, 2]
        assert not image.is_consecutive
        image.relabel_consecutive()
        assert labels.max() == 7

    def test_no_source_is_a_segmentation_too(self) -> None:
        pytest.importorskip("photutils")
        empty = Sources(QTable({"id": [], "x": [], "y": []}), np.zeros((2, 3), np.int32))
        assert empty.segmentation_image().n_labels == 0

    def test_without_a_segmentation_it_says_so(self) -> None:
        with pytest.raises(FrameError, match=r"no segmentation.*Sources\.read"):
            sources_of([]).segmentation_image()
