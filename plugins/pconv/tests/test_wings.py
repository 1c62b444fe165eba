"""Holes are filled as if the light beyond them were not there, where the PSF tells that light."""

from __future__ import annotations

import numpy as np
import pytest
from astroclean_pconv.fill.filling import Surroundings
from astroclean_pconv.separate.fitted import Sources
from astroclean_pconv.separate.wings import first_fluxes, light_of
from hypothesis import given, settings
from hypothesis import strategies as st
from maps_of_sources import NOISE, PSF, ROWS, SHAPE, frame_of, image_of, run, sky

from astroclean.core.sources.holes import disks
from astroclean.simulate.fields import render_stars

PLACES, FLUX = ROWS[:, :2], ROWS[:, 2]
RADII = np.full(len(ROWS), 7.0)
HOLES = disks(SHAPE, PLACES, RADII)


def around(image: np.ndarray, usable: np.ndarray | None = None) -> Surroundings:
    seen = np.ones(SHAPE, dtype=bool) if usable is None else usable
    return Surroundings(image, seen, HOLES)


def told(places: np.ndarray = PLACES) -> Sources:
    return Sources.from_positions(places, PSF.psf.images_at(places))


def freed(image: np.ndarray, snr: float = 100.0, radius: float = 7.0) -> np.ndarray:
    each = np.ones(len(ROWS))
    return image - light_of(around(image), told(), snr * each, radius * each)


def test_fluxes_are_those_of_the_sources_though_their_holes_touch() -> None:
    found = first_fluxes(around(image_of()), told(), RADII)
    # The sky is no plane; its curvature in a hole is worth about this much light.
    np.testing.assert_allclose(found, FLUX, atol=2.5)


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.floats(0, 500), min_size=len(ROWS), max_size=len(ROWS)),
    st.floats(-50, 50),
    st.floats(-1, 1),
    st.floats(-1, 1),
)
def test_on_a_plane_they_are_exact_but_for_light_from_beyond_their_holes(
    fluxes: list[float], level: float, by_x: float, by_y: float
) -> None:
    y, x = np.indices(SHAPE)
    sources = told()
    sources.flux[:] = fluxes
    image = level + by_x * x + by_y * y + sources.light(SHAPE)
    found = first_fluxes(around(image), sources, RADII)
    np.testing.assert_allclose(found, fluxes, atol=5e-3 * (1 + max(fluxes)))


def test_the_order_of_the_sources_does_not_matter() -> None:
    order = np.array([3, 0, 5, 1, 4, 2])
    one = first_fluxes(around(image_of()), told(), RADII)
    other = first_fluxes(around(image_of()), told(PLACES[order]), RADII)
    np.testing.assert_array_equal(one[order], other)


def test_what_cannot_be_seen_has_no_flux() -> None:
    usable = np.ones(SHAPE, dtype=bool)
    usable[:, 80:] = False
    image = np.where(usable, image_of(), np.nan)
    found = first_fluxes(around(image, usable), told(), RADII)
    np.testing.assert_array_equal(found > 0, PLACES[:, 0] < 80)
    outside = first_fluxes(around(image_of()), told(PLACES - 500), RADII)
    np.testing.assert_array_equal(outside, 0)
    assert first_fluxes(around(image_of()), told(PLACES[:0]), RADII[:0]).shape == (0,)


def test_a_hole_in_the_emission_has_no_wings() -> None:
    dark = image_of(ROWS * [1, 1, -1])
    np.testing.assert_array_equal(first_fluxes(around(dark), told(), RADII), 0)


def test_two_sources_at_one_place_share_its_light() -> None:
    twice = np.array([PLACES[2], PLACES[2]])
    found = first_fluxes(around(image_of()), told(twice), RADII[:2])
    assert found.sum() == pytest.approx(FLUX[2], abs=2.5)


def test_light_beyond_the_holes_is_gone() -> None:
    rows = ROWS * [1, 1, 20]
    light = render_stars(rows, PSF, SHAPE)
    rim = ~disks(SHAPE, PLACES, np.full(len(ROWS), 4.0)) & (light > 10 * NOISE)
    assert np.count_nonzero(rim) > 400
    left = (freed(image_of(rows), radius=4.0) - (image_of(rows) - light))[rim]
    assert np.abs(left).mean() < 0.03 * light[rim].mean()


def test_faint_sources_are_not_worth_it() -> None:
    image = image_of()
    np.testing.assert_array_equal(freed(image, snr=0.01), image)


@pytest.mark.parametrize("strength", [1e4, 1e8])
@pytest.mark.parametrize("what", ["pixel", "galaxy"])
def test_what_is_no_point_source_has_no_wings(what: str, strength: float) -> None:
    """A PSF as bright would darken all around it, other holes too."""
    y, x = np.indices(SHAPE)
    apart = np.hypot(y - 28, x - 90.6)
    image = sky() + strength * {"pixel": apart < 0.8, "galaxy": np.exp(-apart / 8)}[what]
    one = slice(2, 3)
    found = np.full(1, 1e4), RADII[one]
    assert not light_of(around(image), told(PLACES[one]), *found).any()


def test_inpaint_takes_them_out_and_fills_without_them() -> None:
    """A hole in the light of a bright source, whose wings reach beyond it."""
    rows = np.array([[60.4, 50.2, 40000.0]])
    frame = frame_of(image_of(rows), rows)
    y, x = np.indices(SHAPE)
    apart = np.hypot(y - 50.2, x - 60.4)
    near, rim = apart < 6, (apart > 10.5) & (apart < 14)
    light = render_stars(rows, PSF, SHAPE)[rim]
    errors = {}
    for wings in (True, False):
        left = run(frame, noise="none", wings=wings).frame
        errors[wings] = np.abs(left.data - sky())[near].mean()
        assert left.where("REMOVED")[rim].all() == wings
        assert not left.where("INPAINTED")[rim].any()
        assert np.mean((left.data - sky())[rim]) == pytest.approx(
            0 if wings else light.mean(), abs=0.05 * light.mean() + 0.02
        )
    assert errors[True] < 0.75 * errors[False]


def test_pixels_beyond_the_holes_keep_their_noise_and_are_a_little_less_sure() -> None:
    rows = np.array([[60.4, 50.2, 40000.0]])
    frame = frame_of(image_of(rows), rows)
    left = run(frame).frame
    apart = np.hypot(*(np.indices(SHAPE) - np.array([50.2, 60.4])[:, None, None]))
    rim = left.where("REMOVED") & (apart > 13)
    assert np.count_nonzero(rim) > 100
    assert np.std((left.data - sky())[rim]) == pytest.approx(NOISE, rel=0.15)
    error = left.uncertainty.array[rim]
    assert (error > 0.8 * NOISE).all()
    assert np.median(error) < 2 * NOISE
