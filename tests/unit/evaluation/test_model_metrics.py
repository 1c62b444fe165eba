"""Cosine, profiles and chi2 of models against loops and analytic truths; crowded catalogues."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from astroclean.evaluation.metrics.crowding import (
    Catalogues,
    duplicate_pairs,
    unrecognized_blends,
)
from astroclean.evaluation.metrics.deblend import match_positions
from astroclean.evaluation.metrics.models import Chi2, cosine, lit_chi2, profile_difference

IMAGES = st.tuples(*[hnp.arrays(float, (5, 6), elements=st.floats(-2, 50))] * 2)


def gaussian(width: float, *, side: int = 81, shift: float = 0.0) -> Any:
    y, x = np.mgrid[:side, :side] - side // 2
    return np.exp(-0.5 * ((x - shift) ** 2 + y**2) / width**2) / (2 * np.pi * width**2)


def difference_by_loop(found: Any, true: Any, center: tuple[float, float]) -> float:
    found, true = np.maximum(found, 0), np.maximum(true, 0)
    light: dict[float, list[float]] = {}
    for y in range(true.shape[0]):
        for x in range(true.shape[1]):
            cell = light.setdefault(np.hypot(y - center[0], x - center[1]), [0.0, 0.0])
            cell[0] += found[y, x]
            cell[1] += true[y, x]
    total, inside, profile = true.sum(), [0.0, 0.0], []
    for r in sorted(light):
        inside = [inside[0] + light[r][0], inside[1] + light[r][1]]
        profile.append(list(inside))
        if inside[1] >= 0.9 * total * (1 - 1e-12):
            break
    if inside[0] <= 0:
        return 1.0
    return max(abs(a / inside[0] - b / inside[1]) for a, b in profile)


@given(IMAGES, st.sampled_from([(2.0, 2.0), (1.3, 3.7)]))
def test_profiles_differ_as_a_loop_says(images: Any, center: tuple[float, float]) -> None:
    found, true = images
    if np.maximum(true, 0).sum() < 1e-3:
        assert math.isnan(profile_difference(found, np.zeros_like(true), center))
        return
    # Where 90 percent are at a pixel to the last digit, rounding decides which is R90.
    y, x = np.indices(true.shape)
    order = np.argsort(np.hypot(y - center[0], x - center[1]).ravel(), kind="stable")
    light = np.cumsum(np.maximum(true, 0).ravel()[order])
    assume(np.abs(light / light[-1] - 0.9).min() > 1e-9)
    value = profile_difference(found, true, center)
    assert 0 <= value <= 1
    assert value == pytest.approx(difference_by_loop(found, true, center), abs=1e-9)


def test_profiles_of_gaussians() -> None:
    true = gaussian(3.0)
    assert profile_difference(true * 7, true, (40.0, 40.0)) == pytest.approx(0, abs=1e-12)
    # Within R90 both are 1 - exp(-r^2 / 2 s^2) over their value at R90.
    r = np.linspace(0, 3.0 * math.sqrt(-2 * math.log(0.1)), 4000)
    one, two = (1 - np.exp(-0.5 * (r / width) ** 2) for width in (5.0, 3.0))
    expected = np.max(np.abs(one / one[-1] - two / two[-1]))
    assert profile_difference(gaussian(5.0), true, (40.0, 40.0)) == pytest.approx(
        expected, abs=0.02
    )
    assert profile_difference(np.zeros_like(true), true, (40.0, 40.0)) == 1


@given(IMAGES)
def test_cosine_is_symmetric_and_blind_to_flux(images: Any) -> None:
    a, b = images
    value = cosine(a, b)
    if math.isnan(value):
        return
    assert -1 - 1e-9 <= value <= 1 + 1e-9
    assert value == pytest.approx(cosine(b, 3 * a), abs=1e-9)


def test_cosine_of_known_images() -> None:
    assert cosine(np.array([1.0, 0]), np.array([0.0, 2])) == 0
    assert cosine(np.array([1.0, 1]), np.array([0.0, 2])) == pytest.approx(math.sqrt(0.5))
    assert math.isnan(cosine(np.zeros(3), np.ones(3)))
    # Two Gaussians of one width, d apart: exp(-d^2 / 4 s^2).
    told = cosine(gaussian(3.0), gaussian(3.0, shift=2.0))
    assert told == pytest.approx(math.exp(-4 / 36), abs=1e-6)


def test_chi2_of_a_perfect_model_is_one_and_grows_by_what_is_missed() -> None:
    rng = np.random.default_rng(3)
    light, sigma = 3000 * gaussian(10.0), np.full((81, 81), 2.0)
    noise, usable = rng.normal(0, 2.0, light.shape), np.ones(light.shape, dtype=bool)
    perfect = lit_chi2(noise, light, sigma, usable)
    assert perfect.pixels == np.count_nonzero(light > 2)
    assert perfect.mean == pytest.approx(1, abs=4 * math.sqrt(2 / perfect.pixels))
    lit = light > sigma
    missed = lit_chi2(noise + 0.5 * light, light, sigma, usable)
    expected = np.mean((0.5 * light[lit] / 2.0) ** 2) + 1
    assert missed.mean == pytest.approx(expected, rel=0.1)
    assert (perfect + missed).mean == pytest.approx((perfect.mean + missed.mean) / 2)


def test_chi2_leaves_out_what_is_dark_or_not_usable() -> None:
    light, sigma = np.array([[10.0, 10.0, 0.5]]), np.ones((1, 3))
    usable = np.array([[True, False, True]])
    assert lit_chi2(np.array([[3.0, 99.0, 99.0]]), light, sigma, usable) == Chi2(9.0, 1)
    assert lit_chi2(np.full((1, 3), np.nan), light, sigma, usable) == Chi2()
    assert math.isnan(Chi2().mean)


def catalogues(found: Any, true: Any, radius: float = 2.0) -> Catalogues:
    found, true = (np.asarray(places, dtype=float).reshape(-1, 2) for places in (found, true))
    return Catalogues(found, true, match_positions(found, true, radius=radius), radius)


def test_an_entry_that_hides_a_wanted_source_is_an_unrecognized_blend() -> None:
    true = [[10, 10], [11.5, 10], [30, 10], [50, 10], [51.5, 10], [70, 10], [71.5, 10]]
    wanted = np.array([True, True, True, True, True, True, False])
    found = [[10.7, 10], [30, 10], [50, 10], [51.5, 10], [70, 10], [90, 10]]
    blended = unrecognized_blends(catalogues(found, true), wanted)
    # The first alone: the pair at 50 has two entries, what is hidden at 71.5 is too faint.
    assert blended.tolist() == [True, False, False, False, False, False]


def test_a_hidden_source_near_the_true_one_counts_though_far_from_the_entry() -> None:
    told = catalogues([[8.5, 10]], [[10, 10], [11.5, 10]])
    assert unrecognized_blends(told, np.array([True, True])).tolist() == [True]
    # The faint one was taken for the entry; the bright one beside it is hidden.
    told = catalogues([[10, 10]], [[10, 10], [11.5, 10]])
    assert unrecognized_blends(told, np.array([False, True])).tolist() == [True]


def test_one_source_entered_twice_is_a_duplicate() -> None:
    true = [[10, 10], [30, 10], [31, 10], [50, 10]]
    found = [[10, 10], [10.6, 10], [30, 10], [31, 10], [50, 10], [51.9, 10], [80, 10], [80.5, 10]]
    told = catalogues(found, true)
    # Two true sources close together with an entry each are none, nor is what is no source.
    assert duplicate_pairs(told, apart=1.5).tolist() == [[0, 1]]
    assert duplicate_pairs(told, apart=2.0).tolist() == [[0, 1], [4, 5]]


def test_empty_catalogues_have_neither_blends_nor_duplicates() -> None:
    for found, true in (([], [[1, 1]]), ([[1, 1]], [])):
        told = catalogues(found, true)
        assert len(duplicate_pairs(told, apart=2.0)) == 0
        assert not unrecognized_blends(told, np.ones(len(true), dtype=bool)).any()
