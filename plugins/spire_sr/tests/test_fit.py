"""Fluxes at given places: right where bands agree, told as not known where none sees."""

from __future__ import annotations

import numpy as np
import pytest
from astroclean_spire_sr.bands import COARSE, BandMap
from astroclean_spire_sr.fit import joint_fluxes
from astroclean_spire_sr.planes import COLORS
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.core.psf.spire import BEAMS

SHAPE = (120, 130)


def maps_with(
    places: list[tuple[float, float, float]],
    *,
    noise: float = 1.0,
    level: float = 0.0,
    seed: int | None = None,
) -> dict[str, BandMap]:
    """Return maps of points (x, y, flux at 450 um) of mean colours."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    rng = np.random.default_rng(seed)
    maps = {}
    for name, color in COLORS.items():
        sigma = BEAMS[name] / COARSE / 2.354820045
        image = np.full(SHAPE, level)
        for px, py, flux in places:
            image += color * flux * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2))
        if seed is not None:
            image += noise * rng.standard_normal(SHAPE)
        maps[name] = BandMap(image.astype(np.float32), np.full(SHAPE, noise, np.float32), COARSE)
    return maps


@settings(max_examples=10, deadline=None)
@given(st.floats(5, 60), st.floats(45, 75), st.floats(-8, 8))
def test_points_of_mean_colours_get_their_fluxes(flux: float, x: float, level: float) -> None:
    places = [(x, 60.3, flux), (x + 7.2, 55.1, 12.0), (100.0, 30.5, 25.0)]
    maps = maps_with(places, noise=0.2, level=level)
    given_x, given_y, true = (np.array(column) for column in zip(*places, strict=True))
    fluxes = joint_fluxes(maps, given_x, given_y)
    np.testing.assert_allclose(fluxes.flux, true, rtol=0.05, atol=0.3)
    for name, color in COLORS.items():
        np.testing.assert_allclose(fluxes.bands[name], color * true, rtol=0.06, atol=0.5)


def test_errors_hold_over_noise() -> None:
    places = [(30.0 + 25 * i, 30.0 + 25 * j, 15.0) for i in range(4) for j in range(4)]
    x, y, true = (np.array(column) for column in zip(*places, strict=True))
    results = [joint_fluxes(maps_with(places, noise=6.0, seed=k), x, y) for k in range(6)]
    pull = np.concatenate([(one.flux - true) / one.error for one in results])
    # They allow for galaxies that are not in the list, of which there are none here.
    assert 0.1 < pull.std() < 1.1


def test_what_no_band_sees_is_not_known() -> None:
    maps = maps_with([(60.0, 60.0, 20.0)])
    hidden = {}
    for name, one in maps.items():
        noise = one.noise.copy()
        noise[:50, :50] = np.inf
        hidden[name] = BandMap(np.where(np.isfinite(noise), one.data, 0), noise, one.pixel)
    fluxes = joint_fluxes(hidden, np.array([60.0, 8.0]), np.array([60.0, 8.0]))
    assert fluxes.flux[0] == pytest.approx(20, rel=0.1)
    assert np.isnan(fluxes.flux[1])
    assert np.isnan(fluxes.error[1])


def test_no_places_are_no_fluxes() -> None:
    fluxes = joint_fluxes(maps_with([]), np.zeros(0), np.zeros(0))
    assert fluxes.flux.shape == (0,)


def test_what_is_known_beforehand_counts() -> None:
    maps = maps_with([(60.0, 60.0, 20.0), (63.0, 60.0, 5.0)], noise=5.0, seed=1)
    x, y = np.array([60.0, 63.0]), np.array([60.0, 60.0])
    free = joint_fluxes(maps, x, y)
    told = joint_fluxes(maps, x, y, flux=np.array([20.0, 5.0]), flux_error=np.array([1.0, 1.0]))
    assert (told.error < free.error).all()
    np.testing.assert_allclose(told.flux, [20, 5], atol=1.5)
