"""Crowded fields: S/N and counts are what they say, truth adds up, families are their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.errors import ConfigurationError
from astroclean.simulate.crowded import CrowdedConfig, View, _counts, simulate_crowded
from astroclean.simulate.galaxies import KINDS, galaxy_stamp
from astroclean.simulate.held_out import HELD_OUT_KINDS, draw_held_out

if TYPE_CHECKING:
    from astroclean.simulate.scene import Scene

galsim = pytest.importorskip("galsim")
SHAPE = (96, 110)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    config = CrowdedConfig(sources=(60, 100))
    return [simulate_crowded(seed=seed, shape=SHAPE, config=config) for seed in range(4)]


def test_even_seeds_are_seen_from_space_and_the_others_from_the_ground(scenes: list[Scene]) -> None:
    assert [scene.notes["view"] for scene in scenes] == ["space", "ground"] * 2
    for scene in scenes:
        from_space = scene.notes["view"] == "space"
        scale = scene.frame.detector.pixel_scale
        assert scale == pytest.approx(0.06 if from_space else 0.2)
        assert abs(scene.frame.wcs.wcs.cdelt[1]) * 3600 == pytest.approx(scale)
        low, high = (1.5, 2.3) if from_space else (2.9, 5.1)
        assert low < scene.notes["fwhm_pixels"] < high
    one = simulate_crowded(seed=0, shape=SHAPE, config=CrowdedConfig(view="ground"))
    assert one.notes["view"] == "ground"


def test_the_true_sources_add_up_to_the_image(scenes: list[Scene]) -> None:
    for scene in scenes:
        total = np.zeros(SHAPE)
        for stamp in scene.sources.stamps:
            assert stamp.data.min() >= 0
            stamp.add_to(total)
        np.testing.assert_allclose(total, scene.clean, rtol=1e-4, atol=1e-3)
        pull = (scene.frame.data - scene.clean) / scene.frame.uncertainty.array
        assert pull.mean() == pytest.approx(0, abs=0.05)
        assert pull.std() == pytest.approx(1, abs=0.03)


def test_flux_is_that_of_the_stamp_and_snr_that_of_its_best_fit(scenes: list[Scene]) -> None:
    for scene in scenes:
        table = scene.sources.table
        sigma = scene.frame.uncertainty.array.astype(float)
        for row, stamp in zip(table, scene.sources.stamps, strict=True):
            weights = (stamp.data / sigma[stamp.slices()]) ** 2
            assert row["snr"] == pytest.approx(np.sqrt(weights.sum()), rel=1e-6)
            side = stamp.data.shape[0]
            if side % 2 and stamp.data.shape == (side, side):  # not cut by an edge of the frame
                assert stamp.data.sum() == pytest.approx(row["flux"].value, rel=1e-4)


def test_sources_are_where_their_light_is() -> None:
    config = CrowdedConfig(sources=(20, 20), stars=0.0, view="ground")
    scene = simulate_crowded(seed=9, shape=(256, 256), config=config)
    seen = 0
    for row, stamp in zip(scene.sources.table, scene.sources.stamps, strict=True):
        side = stamp.data.shape[0]
        if side % 2 == 0 or stamp.data.shape != (side, side):
            continue  # cut by an edge of the frame
        y, x = np.indices(stamp.data.shape)
        light = stamp.data.astype(float)
        middle = np.sum(light * y) / light.sum(), np.sum(light * x) / light.sum()
        assert stamp.origin[0] + middle[0] == pytest.approx(row["y"], abs=0.15)
        assert stamp.origin[1] + middle[1] == pytest.approx(row["x"], abs=0.15)
        seen += 1
    assert seen > 10


def test_faint_sources_are_there_and_more_numerous_than_bright_ones(scenes: list[Scene]) -> None:
    snr = np.concatenate([scene.sources.table["snr"] for scene in scenes])
    assert np.any(snr < 5)
    counts = [np.count_nonzero((snr >= low) & (snr < 2 * low)) for low in (3, 12, 48)]
    assert counts[0] > counts[1] > counts[2]


def test_as_many_reach_the_wanted_signal_as_were_asked_for() -> None:
    rng = np.random.default_rng(5)
    config = CrowdedConfig(slope=0.8)
    drawn = _counts(rng, 40000.0, config)
    assert np.count_nonzero(drawn >= 5) == pytest.approx(40000, rel=0.02)
    assert drawn.min() >= config.snr[0]
    assert drawn.max() <= config.snr[1]
    # A power law: each factor of two in S/N has 2^-0.8 of the sources of the one below.
    few, many = np.count_nonzero(drawn >= 20), np.count_nonzero(drawn >= 10)
    assert few / many == pytest.approx(2**-0.8, abs=0.03)


def test_sizes_follow_the_flux() -> None:
    config = CrowdedConfig(sources=(200, 200), view="ground", stars=0, size_scatter=0)
    scene = simulate_crowded(seed=1, shape=(128, 128), config=config)
    radius = np.asarray(scene.sources.table["radius"])
    snr = np.asarray(scene.sources.table["snr"])
    order = np.argsort(snr)
    assert radius[order[-10:]].mean() > 1.2 * radius[order[:10]].mean()


def test_stars_and_families_are_drawn_in_their_shares() -> None:
    config = CrowdedConfig(sources=(200, 200), held_out=1.0, stars=0.5)
    kinds = simulate_crowded(seed=3, shape=(128, 128), config=config).sources.table["kind"]
    assert set(kinds) <= {"star", *HELD_OUT_KINDS}
    assert np.mean(kinds == "star") == pytest.approx(0.5, abs=0.15)
    config = CrowdedConfig(sources=(200, 200), held_out=0.0, stars=0.0)
    kinds = simulate_crowded(seed=3, shape=(128, 128), config=config).sources.table["kind"]
    assert set(kinds) <= set(KINDS)


def test_sources_lie_beside_others_more_often_than_by_chance() -> None:
    def nearest(clustered: float) -> float:
        config = CrowdedConfig(
            sources=(60, 60), clustered=clustered, view="space", stars=1.0, separation=(0.6, 1.0)
        )
        scene = simulate_crowded(seed=2, shape=(256, 256), config=config)
        places = np.column_stack([scene.sources.table["x"], scene.sources.table["y"]])
        apart = np.hypot(*(places[:, None] - places[None]).T)
        np.fill_diagonal(apart, np.inf)
        return float(np.median(apart.min(axis=0)))

    assert nearest(0.8) < 0.5 * nearest(0.0)


def test_signal_that_nothing_is_counted_by_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at or below 5"):
        simulate_crowded(seed=1, shape=SHAPE, config=CrowdedConfig(snr=(6.0, 100.0)))


@pytest.mark.parametrize("kind", HELD_OUT_KINDS)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=6, deadline=None)
def test_held_out_galaxies_have_flux_one_and_no_negative_light(kind: str, seed: int) -> None:
    parts = draw_held_out(np.random.default_rng(seed), kind=kind, radius=5.0)
    light = galsim.Sum([part.profile for part in parts])
    assert light.flux == pytest.approx(1, abs=1e-9)
    # A little of Gaussian width, for light with holes rings when its Fourier transform is cut.
    seen = galsim.Convolve(light, galsim.Gaussian(sigma=0.5))
    image = seen.drawImage(nx=121, ny=121, scale=1.0, dtype=float).array
    assert image.min() > -1e-3 * image.max()
    assert image.sum() == pytest.approx(1, abs=0.05)


def test_a_dust_lane_darkens_the_middle_of_its_disk() -> None:
    rng = np.random.default_rng(8)
    disk = draw_held_out(rng, kind="dust_lane", radius=12.0)[0].profile
    image = galaxy_stamp(disk, None, side=81)
    assert image[40, 40] < 0.95 * image.max()


def test_a_ring_is_brighter_than_what_it_encloses() -> None:
    rng = np.random.default_rng(8)
    ring = draw_held_out(rng, kind="ring", radius=12.0)[0].profile
    image = galaxy_stamp(ring, None, side=81)
    assert image[40, 40] < 0.5 * image.max()


def test_tidal_galaxies_are_not_symmetric() -> None:
    rng = np.random.default_rng(8)
    light = galsim.Sum([p.profile for p in draw_held_out(rng, kind="tidal", radius=8.0)])
    image = galaxy_stamp(light, None, side=81)
    assert np.abs(image - image[::-1, ::-1]).sum() > 0.2 * image.sum()


def test_a_view_of_its_own_sets_the_pixels() -> None:
    config = CrowdedConfig(view="ground", ground=View(pixel_scale=0.5))
    scene = simulate_crowded(seed=0, shape=(64, 64), config=config)
    assert scene.frame.detector.pixel_scale == pytest.approx(0.5)


def test_its_options_can_be_set_by_name() -> None:
    from astroclean.simulate.options import configured

    scene = configured(simulate_crowded, {"view": "ground"})(seed=4, shape=(48, 48))
    assert scene.frame.psf is not None
    assert scene.frame.psf.fwhm_pixels > 2.8  # a space telescope has less
