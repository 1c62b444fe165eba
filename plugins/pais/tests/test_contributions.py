"""Sources come back from the images that they are put into, whatever their number and order."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astroclean_pais.contributions import (
    PAPER,
    Contributions,
    Encoding,
    center_image,
    decode,
    encode,
    find_centers,
)
from astropy.table import QTable
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.core.sources.sources import Sources, SourceStamp
from astroclean.errors import FrameError
from astroclean.simulate.blends import BlendConfig, simulate_blends

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SHAPE = (24, 31)
MODES = ("nearest", "largest")


def sources_of(
    centers: Sequence[tuple[float, float]], stamps: Sequence[SourceStamp], first: int = 1
) -> Sources:
    place = np.array(centers, dtype=float).reshape(-1, 2)
    ids = np.arange(first, first + len(place))
    return Sources(QTable({"id": ids, "x": place[:, 1], "y": place[:, 0]}), None, tuple(stamps))


def centers_of(sources: Sources) -> NDArray[np.float64]:
    return np.stack([np.asarray(sources.table[n], dtype=float) for n in "yx"], axis=-1)


def image_of(stamps: Sequence[SourceStamp], shape: tuple[int, int] = SHAPE) -> NDArray[np.float64]:
    total = np.zeros(shape)
    for stamp in stamps:
        stamp.add_to(total)
    return total


@st.composite
def scenes(draw: Any, bands: tuple[str, ...] = ("",), most: int = 6) -> Sources:
    """Sources of random light on random boxes, beyond the frame too; many pixels are dark."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(0, most))
    # Quarters of a pixel: many pixels are equally far from two sources.
    chosen = rng.choice(4 * 4 * SHAPE[0] * SHAPE[1], size=count, replace=False)
    places = np.stack(np.divmod(chosen, 4 * SHAPE[1]), axis=-1) / 4
    stamps = []
    for number, (y, x) in enumerate(places, start=1):
        for band in bands:
            half = rng.integers(0, 9, size=4)
            origin = int(y) - half[0], int(x) - half[1]
            data = rng.integers(0, 3, size=(half[0] + half[2] + 1, half[1] + half[3] + 1))
            if rng.random() < 0.9:
                stamps.append(SourceStamp(number, origin, data.astype(np.float32), band))
    return sources_of([(y, x) for y, x in places], stamps)


@given(scenes(bands=("g", "r")), st.sampled_from(MODES))
@settings(max_examples=60)
def test_sources_come_back_where_no_more_overlap_than_are_kept(scene: Sources, mode: Any) -> None:
    found = encode(scene, SHAPE, Encoding(n=6, mode=mode))
    images = {band: image_of([s for s in scene.stamps if s.band == band]) for band in found.maps}
    back = decode(found, images, centers_of(scene), ids=list(scene.table["id"]))
    assert len(back) == len(scene) * len(images)
    for stamp in back:
        own = [s for s in scene.stamps if (s.id, s.band) == (stamp.id, stamp.band)]
        np.testing.assert_allclose(image_of([stamp]), image_of(own), rtol=1e-6, atol=1e-6)


@given(scenes(most=9), st.integers(1, 4), st.sampled_from(MODES))
@settings(max_examples=60)
def test_decoded_images_add_up_to_the_image_with_its_noise(
    scene: Sources, n: int, mode: Any
) -> None:
    found = encode(scene, SHAPE, Encoding(n=n, mode=mode))
    np.testing.assert_allclose(found.maps[""].sum(axis=0), 1, rtol=1e-6)
    noisy = image_of(scene.stamps) + np.random.default_rng(1).normal(size=SHAPE)
    noisy[3, 4] = np.nan
    total = image_of(decode(found, noisy, centers_of(scene)))
    wanted = np.nan_to_num(noisy) if len(scene) else np.zeros(SHAPE)
    np.testing.assert_allclose(total, wanted, atol=1e-5)


@given(scenes(most=9), st.integers(1, 4), st.sampled_from(MODES), st.randoms())
@settings(max_examples=60)
def test_the_order_of_the_sources_does_not_matter(
    scene: Sources, n: int, mode: Any, chance: Any
) -> None:
    rows, stamps = list(range(len(scene))), list(scene.stamps)
    chance.shuffle(rows)
    chance.shuffle(stamps)
    other = Sources(scene.table[rows] if rows else scene.table, None, tuple(stamps))
    encoding = Encoding(n=n, mode=mode)
    first, second = encode(scene, SHAPE, encoding), encode(other, SHAPE, encoding)
    np.testing.assert_array_equal(first.center, second.center)
    np.testing.assert_array_equal(first.vectors, second.vectors)
    for band, values in first.maps.items():
        np.testing.assert_array_equal(values, second.maps[band])


@given(scenes(most=9), st.integers(1, 4))
@settings(max_examples=40)
def test_largest_keeps_the_most_light_and_nearest_the_nearest_centers(
    scene: Sources, n: int
) -> None:
    """Against a loop over pixels that sorts all sources."""
    light = np.array([image_of([s for s in scene.stamps if s.id == i]) for i in scene.table["id"]])
    light = light.reshape(-1, *SHAPE)
    near, large = (encode(scene, SHAPE, Encoding(n=n, mode=m)) for m in MODES)
    centers, known = centers_of(scene), min(n, len(scene))
    for y, x in itertools.product(range(0, SHAPE[0], 5), range(0, SHAPE[1], 5)):
        distances = np.sort(np.hypot(*(centers - (y, x)).T))[:known]
        lengths = np.hypot(*near.vectors[:known, :, y, x].T)
        np.testing.assert_allclose(lengths, distances, rtol=1e-5)
        every = light[:, y, x]
        best = np.sort(every)[::-1][:known]
        wanted = best / best.sum() if best.sum() else np.full(known, 1 / n)
        np.testing.assert_allclose(large.maps[""][:known, y, x], wanted, rtol=1e-6)
        ends = large.vectors[:known, :, y, x] + (y, x)
        assert len(np.unique(ends.round(3), axis=0)) == known


def test_where_no_source_has_light_all_shares_are_equal() -> None:
    star = SourceStamp(1, (4, 4), np.ones((3, 3), dtype=np.float32))
    scene = sources_of([(5, 5), (9, 20), (20, 3), (20, 28)], [star])
    for mode in MODES:
        found = encode(scene, SHAPE, Encoding(n=3, mode=mode)).maps[""]
        dark = np.ones(SHAPE, dtype=bool)
        dark[4:7, 4:7] = False
        np.testing.assert_array_equal(found[:, dark], np.float32(1 / 3))
        np.testing.assert_array_equal(found.max(axis=0)[~dark], 1)


def test_with_fewer_sources_than_places_the_nearest_stands_in() -> None:
    scene = sources_of([(5, 5), (9, 20)], [SourceStamp(1, (0, 0), np.ones(SHAPE, np.float32))])
    found = encode(scene, SHAPE, Encoding(n=4))
    np.testing.assert_array_equal(found.maps[""][1:], 0)
    np.testing.assert_allclose(found.vectors[2:, :, 0, 0], [[5, 5], [5, 5]])
    empty = encode(sources_of([], []), SHAPE, Encoding(n=2))
    assert not empty.center.any()
    assert not empty.vectors.any()
    np.testing.assert_array_equal(empty.maps[""], 0.5)
    assert decode(empty, np.ones(SHAPE), np.empty((0, 2))) == ()


def test_the_sources_of_a_pixel_are_those_of_all_bands() -> None:
    """A source that is faint in one band and bright in the other is kept, whatever their units."""
    full = np.ones(SHAPE, dtype=np.float32)
    light = {(1, "g"): 5.0, (2, "g"): 4.0, (3, "g"): 1.0, (1, "r"): 1e-6, (3, "r"): 9e-6}
    stamps = [SourceStamp(i, (0, 0), v * full, band) for (i, band), v in light.items()]
    scene = sources_of([(5, 5), (9, 20), (20, 3)], stamps)
    found = encode(scene, SHAPE, Encoding(n=2))
    ends = found.vectors[:, :, 7, 7] + 7
    np.testing.assert_allclose(ends, [[20, 3], [5, 5]], atol=1e-5)
    np.testing.assert_allclose(found.maps["g"][:, 7, 7], [1 / 6, 5 / 6], rtol=1e-6)
    np.testing.assert_allclose(found.maps["r"][:, 7, 7], [0.9, 0.1], rtol=1e-6)


def test_five_largest_keep_light_that_three_nearest_lose() -> None:
    """On a dense scene; what two sources lose they give to the others."""
    config = BlendConfig(groups=(10, 10), separation=(0.8, 2.0))
    scene = simulate_blends(seed=3, shape=(128, 128), config=config)
    sources = scene.sources
    assert sources is not None
    total, centers = image_of(sources.stamps, (128, 128)), centers_of(sources)
    flux = np.array([s.data.sum(dtype=float) for s in sources.stamps])
    errors = {}
    for name, encoding in (("paper", PAPER), ("largest", Encoding())):
        back = decode(encode(sources, (128, 128), encoding), total, centers)
        found = np.array([s.data.sum(dtype=float) for s in back])
        np.testing.assert_allclose(found.sum(), flux.sum(), rtol=1e-5)
        errors[name] = np.abs(found / flux - 1)
    assert np.median(errors["largest"]) < 1e-3
    assert errors["largest"].mean() < errors["paper"].mean() / 2


@given(scenes())
def test_the_center_image_is_the_highest_of_the_gaussians(scene: Sources) -> None:
    y, x = np.indices(SHAPE)
    every = [np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * 3.0**2)) for a, b in centers_of(scene)]
    found = center_image(centers_of(scene), SHAPE, sigma=1.5, scale=2.0)
    np.testing.assert_allclose(found, np.max([np.zeros(SHAPE), *every], axis=0), atol=1e-6)


def test_centers_are_found_again() -> None:
    true = np.array([(4.0, 5.0), (4.5, 20.0), (12.0, 9.0), (18.25, 27.5)])
    found = find_centers(center_image(true, SHAPE, sigma=2.0))
    # Two pixels that are equally high are one peak in their middle.
    np.testing.assert_array_equal(found, [(4.0, 5.0), (4.5, 20.0), (12.0, 9.0), (18.0, 27.5)])
    assert not len(find_centers(np.zeros(SHAPE)))
    near = np.array([(8.0, 8.0), (8.0, 10.0)])
    assert len(find_centers(center_image(near, SHAPE, sigma=2.0))) == 1
    assert len(find_centers(center_image(near, SHAPE, sigma=2.0), window=3)) == 2
    with pytest.raises(ValueError, match="odd"):
        find_centers(np.zeros(SHAPE), window=4)


def test_predicted_vectors_go_to_the_nearest_detected_center() -> None:
    """Errors of vectors of less than half the way between the sources do not matter."""
    rng = np.random.default_rng(2)
    bright, faint = np.full((9, 9), 4.0, np.float32), np.full((9, 9), 2.0, np.float32)
    scene = sources_of(
        [(10, 8), (10, 16)], [SourceStamp(1, (6, 4), bright), SourceStamp(2, (6, 12), faint)]
    )
    true = encode(scene, SHAPE, Encoding(n=2, sigma=2.0))
    wrong = (true.vectors + rng.uniform(-2.5, 2.5, true.vectors.shape)).astype(np.float32)
    predicted = Contributions(true.center, wrong, true.maps)
    back = decode(predicted, image_of(scene.stamps), find_centers(true.center), ids=[1, 2])
    for stamp, own in zip(back, scene.stamps, strict=True):
        np.testing.assert_allclose(image_of([stamp]), image_of([own]), rtol=1e-6)


def test_what_cannot_be_encoded_is_refused() -> None:
    negative = SourceStamp(1, (0, 0), np.array([[1.0, -0.1]], dtype=np.float32))
    lost = SourceStamp(1, (0, 0), np.array([[1.0, np.nan]], dtype=np.float32))
    for stamp in (negative, lost):
        with pytest.raises(FrameError, match="source 1"):
            encode(sources_of([(0, 0)], [stamp]), SHAPE)
    with pytest.raises(FrameError, match="not in the catalogue"):
        encode(sources_of([(0, 0)], [SourceStamp(7, (0, 0), np.ones((1, 1), np.float32))]), SHAPE)
    with pytest.raises(FrameError, match="without a place"):
        encode(sources_of([(np.nan, 0)], []), SHAPE)


def test_what_cannot_be_decoded_is_refused() -> None:
    found = encode(sources_of([(5, 5)], []), SHAPE)
    centers = np.array([(5.0, 5.0)])
    with pytest.raises(FrameError, match="shape"):
        decode(found, np.zeros((3, 3)), centers)
    with pytest.raises(FrameError, match="bands"):
        decode(found, {"g": np.zeros(SHAPE)}, centers)
    with pytest.raises(FrameError, match="ids"):
        decode(found, np.zeros(SHAPE), centers, ids=[1, 2])
    with pytest.raises(FrameError, match="same place"):
        decode(found, np.zeros(SHAPE), np.repeat(centers, 2, axis=0))
