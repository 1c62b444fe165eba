"""Profiles and fluxes of blocks make those of the frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from astroclean_pais.detect import Detections
from astroclean_pais.fit import joint_fit
from astroclean_pais.fit_flags import FitFlag
from astroclean_pais.sweeps import Drawn, Pixels, draw_sources

from astroclean.core.psf.psf import Psf

SHAPE = (60, 160)
PLACES = [(20, 30), (23, 31), (79, 30), (82, 29), (130, 20), (48, 48)]


def drawn_at(profile: Any, rows: Any, first: int, data: np.ndarray) -> Drawn:
    profiles = [
        profile(number, PLACES[row][0] - first, PLACES[row][1])
        for number, row in enumerate(rows, start=1)
    ]
    one = np.ones(data.shape)
    return Drawn(profiles, joint_fit(profiles, data, one, one > 0))


def test_parts_give_the_fit_of_the_whole(profile: Any) -> None:
    """Two blends far from where the frame is cut, and one across it, which both parts see whole."""
    data = np.random.default_rng(1).normal(0, 1, SHAPE)
    whole = drawn_at(profile, range(len(PLACES)), 0, data)
    order, parts = [], []
    for low, high, first, stop in ((0, 80, 0, 120), (80, 160, 40, 160)):
        near = np.array([i for i, (x, _) in enumerate(PLACES) if first + 12 <= x < stop - 12])[::-1]
        own = np.flatnonzero([low <= PLACES[row][0] < high for row in near])
        assert len(own) < len(near)
        part = drawn_at(profile, near, first, data[:, first:stop])
        parts.append(part.taken(own, near, (0, first)))
        order.append(near[own])
    joined = Drawn.joined(parts)
    joined = joined.taken(np.argsort(np.concatenate(order)), None, (0, 0))
    for name in ("id", "neighbor", "lit", "flags"):
        np.testing.assert_array_equal(getattr(joined.fit, name), getattr(whole.fit, name))
    for name in ("flux", "flux_err", "covariance", "chi2"):
        np.testing.assert_allclose(getattr(joined.fit, name), getattr(whole.fit, name), rtol=1e-9)
    assert joined.fit.neighbor.tolist() == [2, 1, 4, 3, 0, 0]
    for ours, theirs in zip(joined.profiles, whole.profiles, strict=True):
        assert (ours.id, ours.origin) == (theirs.id, theirs.origin)
        np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-6)


def test_a_neighbor_of_another_part_is_none_once_it_is_not_there(profile: Any) -> None:
    """At the border of a chunk: the neighbor with the higher number belongs to a block beyond."""
    whole = drawn_at(profile, range(4), 0, np.ones(SHAPE))
    part = whole.taken(np.array([0, 2]), np.arange(4), (0, 0))
    assert part.fit.neighbor.tolist() == [2, 4]
    sorted_part = part.taken(np.array([1, 0]), None, (0, 0))
    assert sorted_part.fit.id.tolist() == [3, 1]
    assert not sorted_part.fit.neighbor.any()
    numbered = part.numbered(np.array([0, 1]))
    assert numbered.fit.id.tolist() == [1, 2]
    assert not numbered.fit.neighbor.any()
    assert not numbered.fit.covariance.any()


def test_kept_sources_are_numbered_and_name_each_other(profile: Any) -> None:
    whole = drawn_at(profile, range(4), 0, np.ones(SHAPE))
    kept = whole.numbered(np.array([1, 2, 3]))
    assert kept.fit.id.tolist() == [1, 2, 3]
    assert kept.fit.neighbor.tolist() == [0, 3, 2]
    assert kept.fit.covariance[0] == 0
    assert (kept.fit.covariance[1:] != 0).all()
    assert [stamp.id for stamp in kept.profiles] == [1, 2, 3]
    assert [stamp.origin for stamp in kept.profiles] == [s.origin for s in whole.profiles[1:]]
    models = kept.models("r")
    for flux, stamp, model in zip(kept.fit.flux, kept.profiles, models, strict=True):
        np.testing.assert_allclose(model.data, flux * stamp.data, rtol=1e-6)
        assert (model.id, model.band) == (stamp.id, "r")


def test_sources_that_a_band_does_not_reach_have_no_light_there(profile: Any) -> None:
    part = drawn_at(profile, range(2), 0, np.ones(SHAPE))
    filled = part.filled(np.array([0, 2]), 4)
    assert filled.fit.id.tolist() == [1, 2, 3, 4]
    assert np.isnan(filled.fit.flux[[1, 3]]).all()
    assert (filled.fit.flags[[1, 3]] == int(FitFlag.NO_PIXELS)).all()
    np.testing.assert_array_equal(filled.fit.flux[[0, 2]], part.fit.flux)
    assert not any(filled.models("")[row].data.any() for row in (1, 3))


class Silent:
    """A profile network that leaves models as they are."""

    def infer(self, inputs: Any) -> Any:
        stamps = inputs["stamp"]
        assert stamps.shape[1] == 7
        assert np.isfinite(stamps).all()
        return {"profile": np.zeros((len(stamps), 2, *stamps.shape[2:]), dtype=np.float32)}


def found_at(places: list[tuple[float, float]], radius: float) -> Detections:
    y, x = np.array(places, dtype=float).reshape(-1, 2).T
    none = np.zeros(len(y))
    one = np.ones(len(y))
    return Detections(x, y, one, 100 * one, radius * one, none, none, none, none)


@pytest.mark.parametrize("sweeps", [0, 2])
@pytest.mark.parametrize("unit", [1.0, 1e-9])
def test_stars_of_known_places_have_their_fluxes_in_any_unit(sweeps: int, unit: float) -> None:
    psf = Psf.gaussian(fwhm_pixels=3.0)
    places, fluxes = [(30.2, 40.7), (33.1, 43.0), (4.4, 70.0)], np.array([3000.0, 900.0, 500.0])
    box = (slice(0, 60), slice(0, 80))
    stars = psf.drawn_at(
        [x for _, x in places], [y for y, _ in places], fluxes * unit, box=box
    ).data.sum(axis=0)
    noise = np.random.default_rng(0).normal(0, unit, stars.shape)
    usable = np.ones(stars.shape, dtype=bool)
    usable[30, 40] = False
    light = np.where(usable, stars + noise, 0).astype(np.float32)
    pixels = Pixels(
        light, np.full(stars.shape, unit**2), usable, unit, psf.fine_at(0, 0), psf.fwhm_pixels
    )
    drawn = draw_sources(found_at(places, 0.0), pixels, Silent(), sweeps=sweeps)
    error = drawn.fit.flux_err / unit
    assert (np.abs(drawn.fit.flux / unit - fluxes) < 4 * error).all()
    assert (error < 20).all()
    for stamp in drawn.profiles:
        assert stamp.data.min() >= 0
        assert stamp.data.sum() == pytest.approx(1, abs=2e-3)


def test_no_sources_are_none() -> None:
    psf = Psf.gaussian(fwhm_pixels=3.0)
    image = np.zeros((20, 20), dtype=np.float32)
    pixels = Pixels(image, image + 1.0, image == 0, 1.0, psf.fine_at(0, 0), 3.0)
    drawn = draw_sources(found_at([], 1.0), pixels, Silent(), sweeps=2)
    assert drawn.profiles == []
    assert drawn.models("") == []
    assert len(Drawn.joined([drawn, replace(drawn)]).fit.flux) == 0
