"""Samples: sources on emission, holes over them, and nothing of a hole in the scale."""

from __future__ import annotations

import numpy as np
import pytest
from astroclean_pconv.train.samples import (
    CUTS,
    ORIENTATIONS,
    SNR_CLASSES,
    TABLE_1,
    SampleMaker,
    _chosen,
    _cut_out,
    _Scene,
    draw_defects,
    normalized,
    turned,
    windowed,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import label

SAMPLES = [SampleMaker(3)(number) for number in range(6)]
STARS = [SampleMaker(3, stars=1.0)(number) for number in range(4)]
IMAGES = ("image", "target", "sky", "valid", "hole")
EVERY = {name: np.concatenate([one[name] for one in SAMPLES]) for name in SAMPLES[0]}


def test_a_sample_is_that_of_its_number() -> None:
    again, other = SampleMaker(3)(5), SampleMaker(3, offset=5)(0)
    for name, array in SAMPLES[5].items():
        np.testing.assert_array_equal(array, again[name])
        np.testing.assert_array_equal(array, other[name])
    assert not np.array_equal(SAMPLES[5]["image"], SAMPLES[4]["image"])
    assert not np.array_equal(SampleMaker(4)(5)["image"], again["image"])


def test_what_the_network_sees_has_hardly_any_light_of_sources() -> None:
    light = EVERY["image"] - EVERY["target"].astype(np.float32)
    assert np.isfinite(EVERY["image"]).all()
    assert light.min() > -0.02, "float16 apart, sources only add"
    inside = (light * EVERY["hole"]).sum(axis=(1, 2))
    outside = (light * EVERY["valid"]).sum(axis=(1, 2))
    assert np.median(inside / (inside + outside)) > 0.8


def test_of_maps_that_are_freed_the_network_sees_hardly_any_light_beyond_the_holes() -> None:
    """And the same maps, sources and holes as without."""
    seen = {}
    for freed in (0.0, 1.0):
        samples = [SampleMaker(3, freed=freed)(number) for number in range(4)]
        every = {name: np.concatenate([one[name] for one in samples]) for name in samples[0]}
        light = every["image"] - every["target"].astype(np.float32)
        seen[freed] = np.abs(light[every["valid"]]).mean()
    assert seen[1.0] < 0.5 * seen[0.0]


def test_pixels_too_bright_for_half_precision_stay_finite() -> None:
    """A training once ended at such a star."""
    scene = _Scene(
        image=np.full((192, 192), 1.0) + np.random.default_rng(1).normal(0, 1e-4, (192, 192)),
        target=np.full((192, 192), 1e6),
        sky=np.full((192, 192), -1e6),
        holes=np.zeros((192, 192), dtype=bool),
        positions=np.array([[96.0, 96.0]]),
        snr=np.array([5.0]),
        known=True,
    )
    found = _cut_out(scene, _chosen(np.random.default_rng(1), scene)[0])
    assert np.isfinite(found["target"]).all()
    assert np.isfinite(found["sky"]).all()
    assert found["target"].max() == -found["sky"].min() == np.finfo(np.float16).max


def test_holes_and_what_is_seen_are_apart_and_in_the_map() -> None:
    valid, hole = EVERY["valid"], EVERY["hole"]
    assert not (valid & hole).any()
    middle = slice(47, 50)
    assert hole[:, middle, middle].all(), "of the source in the middle, wherever it truly lies"
    beyond = ~(valid | hole)
    assert beyond.any(), "some cut-outs reach beyond the map"
    for name in ("image", "target", "sky"):
        assert not EVERY[name][beyond].any()


def test_cutouts_are_in_units_of_what_is_seen() -> None:
    for image, valid in zip(EVERY["image"], EVERY["valid"], strict=True):
        assert abs(np.median(image[valid])) < 0.2
        low, high = np.percentile(image[valid], [16, 84])
        assert 0.5 < (high - low) / 2 < 2


def test_most_classes_of_snr_come_in_a_few_samples() -> None:
    classes = np.digitize(EVERY["snr"], SNR_CLASSES[1:-1])
    assert len(set(classes)) >= 4
    assert EVERY["snr"].shape == (6 * CUTS,)


def test_fluxes_are_those_of_table_1() -> None:
    told = """10 20 40 60 80 100 125 150 175 200 250 300 350
    400 500 600 700 800 900 1000 1250 1500 1750 2000 2500 3000
    3500 4000 4500 5000 6000 7000 8000 9000 10000 11000 12000 13000 14000
    15000 16000 18000 20000 22500 25000 27500 30000 32500 35000 37500 40000"""
    assert [int(flux) for flux in TABLE_1] == [int(flux) for flux in told.split()]
    assert len(SNR_CLASSES) == 7


@settings(deadline=None, max_examples=40)
@given(
    arrays(np.float32, (12, 12), elements=st.floats(-1000, 1000, width=32)),
    arrays(np.bool_, (12, 12)),
    st.sampled_from([np.nan, np.inf, 0.0, 1e30]),
)
def test_the_scale_never_looks_into_a_hole(
    image: np.ndarray, valid: np.ndarray, inside: float
) -> None:
    other = np.where(valid, image, np.float32(inside))
    assert normalized(image, valid) == normalized(other, valid)
    offset, width = normalized(image, valid)
    assert np.isfinite(offset)
    assert 0 < width < np.inf


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_the_scale_follows_the_unit_and_the_level(seed: int, gain: float, level: float) -> None:
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(32, 32)).astype(np.float32)
    valid = rng.random((32, 32)) < 0.7
    offset, width = normalized(image, valid)
    moved = (gain * image.astype(np.float64) + level * gain).astype(np.float32)
    found = normalized(moved, valid)
    assert found[0] == pytest.approx(gain * (offset + level), abs=1e-3 * gain)
    assert found[1] == pytest.approx(gain * width, rel=1e-3)


def test_turns_are_the_eight_of_a_square() -> None:
    image = np.arange(2 * 9).reshape(2, 3, 3)
    found = {turned(image, turn).tobytes() for turn in range(ORIENTATIONS)}
    assert len(found) == 8
    np.testing.assert_array_equal(turned(image, 0), image)


def test_defects_are_columns_rows_and_tracks() -> None:
    masks = [draw_defects(np.random.default_rng(seed), (60, 80)) for seed in range(12)]
    assert any(mask.all(axis=0).any() for mask in masks)
    assert any(mask.all(axis=1).any() for mask in masks)
    assert all(0 < mask.mean() < 0.5 for mask in masks)


def test_fields_of_stars_have_no_source_removed_and_holes_by_defects_alone() -> None:
    every = {name: np.concatenate([one[name] for one in STARS]) for name in STARS[0]}
    inside = every["hole"] | every["valid"]
    np.testing.assert_array_equal(every["image"].astype(np.float16), every["target"])
    assert np.isnan(every["snr"]).all()
    assert every["known"].all()
    noise = (every["image"] - every["sky"].astype(np.float32))[inside]
    assert noise.std() > 0.1, "the sky has no noise, the image has"
    assert every["hole"].any(axis=(1, 2)).all()
    assert 0 < every["hole"].mean() < 0.5
    assert set(STARS[0]) == set(SAMPLES[0])


def test_a_share_of_the_samples_are_fields_of_stars() -> None:
    maker = SampleMaker(5, stars=0.5)
    stars = [bool(np.isnan(maker(number)["snr"]).all()) for number in range(10)]
    assert 1 <= sum(stars) <= 9
    assert not any(np.isnan(one["snr"]).all() for one in SAMPLES)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 6 * CUTS - 1), st.sampled_from([48, 64, 80]), st.integers(0, 7))
def test_a_window_keeps_the_middle_hole_and_those_that_it_does_not_cut(
    index: int, side: int, turn: int
) -> None:
    sample = {name: turned(EVERY[name][index], turn) for name in IMAGES}
    first = (96 - side) // 2
    whole = {
        name: image[first : first + side, first : first + side] for name, image in sample.items()
    }
    part = windowed(sample, side)
    for name in ("image", "target", "sky", "valid"):
        np.testing.assert_array_equal(part[name], whole[name])
    assert not (part["hole"] & part["valid"]).any()
    assert not (part["hole"] & ~whole["hole"]).any()
    labels, count = label(whole["hole"], np.ones((3, 3)))
    edges = {*labels[0], *labels[-1], *labels[:, 0], *labels[:, -1]}
    middle = labels[side // 2, side // 2]
    for number in range(1, count + 1):
        kept = part["hole"][labels == number]
        assert kept.all() if number == middle or number not in edges else not kept.any()


def test_a_window_as_large_as_the_cutout_leaves_everything() -> None:
    for index in range(CUTS):
        sample = {name: EVERY[name][index] for name in IMAGES}
        for name, image in windowed(sample, 96).items():
            np.testing.assert_array_equal(image, sample[name])
