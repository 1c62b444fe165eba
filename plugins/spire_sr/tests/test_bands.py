"""Bands come to one grid at their places, in mJy a beam, without their zero points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astroclean_spire_sr.bands import COARSE, BandMap, coarse_grid, on_grid, zero_point
from astroclean_spire_sr.noise import map_noise
from astroclean_spire_sr.planes import BANDS, CHANNELS, GUESS_FWHM, first_guess, planes_of
from astroclean_spire_sr.train.samples import maps_of

from astroclean.core.image.grid import Grid
from astroclean.simulate.far_infrared.band import MapRange
from astroclean.simulate.far_infrared.scene import FarInfraredConfig, simulate_far_infrared

if TYPE_CHECKING:
    from astroclean.simulate.scene import Scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    maps = MapRange(noise=(1e-3, 1e-3), gain=(1, 1), shift=(0, 0), correlated=(0, 0))
    config = FarInfraredConfig(bands=BANDS, maps=maps)
    return simulate_far_infrared(seed=11, shape=(64, 70), config=config)


def test_the_brightest_galaxy_is_at_its_place_in_every_band(scene: Scene) -> None:
    assert scene.sources is not None
    brightest = scene.sources.table[0]
    x, y = ((float(brightest[name]) + 0.5) * 2 - 0.5 for name in ("x", "y"))
    for name, one in maps_of(scene, BANDS).items():
        box = np.s_[round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5]
        peak = one.data[box].max()
        flux = float(brightest[f"flux_{name}"].value)
        # Its neighbours and the level beneath it are in the beam, too.
        assert flux * 0.85 - 5 < peak < flux * 1.6 + 15, name


def test_the_zero_point_of_a_map_does_not_matter(scene: Scene) -> None:
    frame = scene.bands["250"].frame
    own, noise = Grid.from_frame(frame), np.ones(frame.shape)
    grid = coarse_grid(own)
    first = on_grid(frame.data, noise, own=own, grid=grid)
    second = on_grid(frame.data + 40.0, noise, own=own, grid=grid)
    np.testing.assert_allclose(first.data, second.data, atol=1e-4)
    assert abs(np.median(first.data)) < 0.3
    assert first.pixel == pytest.approx(6.0)
    assert grid.pixel_scale == pytest.approx(COARSE)


def test_what_was_not_observed_is_zero_and_not_known(scene: Scene) -> None:
    frame = scene.bands["250"].frame
    data = frame.data.copy()
    data[:20, :20] = np.nan
    own = Grid.from_frame(frame)
    one = on_grid(data, np.ones(frame.shape), own=own, grid=coarse_grid(own))
    assert not one.known[:38, :38].any()
    assert (one.data[~one.known] == 0).all()
    assert one.known[45:, :].all()


def test_zero_points_follow_a_slope_over_several_boxes() -> None:
    rows = np.arange(400.0)[:, np.newaxis]
    image = np.broadcast_to(0.01 * rows, (400, 192))
    level = zero_point(image, np.ones(image.shape, bool))
    np.testing.assert_allclose(level[100:300], image[100:300], atol=0.02)


def test_a_band_that_is_missing_is_planes_of_zeros(scene: Scene) -> None:
    maps = maps_of(scene, ("250", "500"))
    planes = planes_of(maps)
    assert planes.shape == (CHANNELS, *maps["250"].data.shape)
    assert [bool(plane.any()) for plane in planes] == [
        *(name in maps for name in BANDS for _ in range(2)),
        False,
    ]
    assert planes_of(maps, first_guess(maps))[-1].any()


def test_the_first_guess_has_the_light_of_a_source_alone() -> None:
    y, x = np.mgrid[:96, :96] - 48.0
    maps = {
        name: BandMap(
            (color * 20 * np.exp(-4 * np.log(2) * (x**2 + y**2) / (fwhm / COARSE) ** 2)).astype(
                np.float32
            ),
            np.full(x.shape, 0.5, np.float32),
            6.0,
        )
        for name, color, fwhm in (("250", 1.85, 18.1), ("350", 1.48, 24.9), ("500", 0.81, 36.6))
    }
    guess = first_guess(maps)
    assert np.unravel_index(guess.argmax(), guess.shape) == (48, 48)
    beam = np.pi / (4 * np.log(2)) * (GUESS_FWHM / COARSE) ** 2
    assert guess[30:67, 30:67].sum() / beam == pytest.approx(20, rel=0.1)


def test_noise_is_measured_beneath_confused_galaxies() -> None:
    for noise in (1.5, 4.0):
        config = FarInfraredConfig(maps=MapRange(noise=(noise, noise), uneven=(1, 1)))
        field = simulate_far_infrared(seed=5, shape=(100, 100), config=config)
        assert map_noise(field.bands["250"].frame.data) == pytest.approx(noise, rel=0.15)
    assert np.isnan(map_noise(np.full((30, 30), np.nan)))
