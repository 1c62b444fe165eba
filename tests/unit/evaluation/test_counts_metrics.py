"""Measures of confused fields, against what is known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from astroclean.core.psf.psf import Psf
from astroclean.evaluation.metrics.counts import (
    beyond_chance,
    match_brightest,
    told_bins,
    told_error,
)
from astroclean.evaluation.metrics.maps import MapSums, Stack, map_sums, stacked


def test_the_bright_source_takes_the_entry_that_a_faint_one_lies_nearer_to() -> None:
    found = np.array([[0.0, 0.0], [20.0, 0.0]])
    true = np.array([[1.0, 0.0], [4.0, 0.0], [19.0, 0.0], [21.5, 0.0]])
    mine, theirs = match_brightest(found, true, np.array([1.0, 9.0, 3.0, 2.0]), radius=5)
    assert list(zip(mine, theirs, strict=True)) == [(0, 1), (1, 2)]
    # At the radius they match, beyond it they do not; each counts once.
    mine, theirs = match_brightest(found, true, np.array([1.0, 9.0, 3.0, 2.0]), radius=3.9)
    assert list(zip(mine, theirs, strict=True)) == [(1, 2), (0, 0)]
    # The bright one takes the nearer of two entries, and the other is left for the faint one.
    mine, theirs = match_brightest(
        np.array([[3.0, 0.0], [-2.0, 0.0]]), np.zeros((2, 2)), np.array([1.0, 5.0]), radius=4
    )
    assert list(zip(mine, theirs, strict=True)) == [(1, 1), (0, 0)]
    for one, other in ((found[:0], true), (found, true[:0])):
        assert match_brightest(one, other, np.ones(len(other)), radius=5)[0].size == 0


def test_shares_are_freed_of_chance() -> None:
    assert beyond_chance(0.6, 0.5) == pytest.approx(0.2)
    assert beyond_chance(1.0, 0.5) == 1
    assert beyond_chance(0.3, 0.3) == 0
    assert math.isnan(beyond_chance(1.0, 1.0))
    np.testing.assert_allclose(beyond_chance([0.5, 1.0], [0.0, 0.9]), [0.5, 1.0])


def test_what_entries_tell_is_compared_bin_by_bin() -> None:
    told = np.array([0.9] * 10 + [0.45] * 10 + [np.nan])
    share = np.array([1.0] * 9 + [0.0] + [1.0] * 2 + [0.0] * 8 + [1.0])
    count, stated, observed = told_bins(told, share)
    np.testing.assert_allclose(count, [10, 10])
    np.testing.assert_allclose(stated, [0.45, 0.9])
    np.testing.assert_allclose(observed, [0.2, 0.9])
    assert told_error(told, share) == pytest.approx(0.125)
    assert math.isnan(told_error(np.full(21, np.nan), share))


def test_sums_of_maps_give_what_numpy_gives() -> None:
    rng = np.random.default_rng(1)
    truth = rng.gamma(1.0, 1.0, (40, 50))
    image = 0.5 * truth + 3 + rng.normal(0, 0.2, truth.shape)
    where = np.ones(truth.shape, dtype=bool)
    where[:5] = False
    image[10, 10], image[0, 0] = np.nan, np.nan
    parts = (where & (np.arange(50) < 20), where & (np.arange(50) >= 20))
    sums = sum((map_sums(image, truth, part) for part in parts), MapSums())
    used = where & np.isfinite(image)
    a, b = image[used], truth[used]
    assert sums.correlation == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert sums.rms == pytest.approx(np.sqrt(np.mean((a - b) ** 2)))
    assert sums.offset == pytest.approx(np.mean(a - b))
    assert sums.missing == pytest.approx(1 / where.sum())
    slope, level = np.polyfit(a, b, 1)
    assert sums.fitted_rms == pytest.approx(np.sqrt(np.mean((slope * a + level - b) ** 2)))
    nothing = MapSums()
    assert all(math.isnan(v) for v in (nothing.rms, nothing.correlation, nothing.fitted_rms))
    flat = map_sums(np.ones((4, 4)), truth[:4, :4], np.ones((4, 4), dtype=bool))
    assert math.isnan(flat.correlation)
    assert flat.fitted_rms == pytest.approx(truth[:4, :4].std())


@pytest.mark.parametrize("fwhm", [5.0, 7.9, 11.3])
def test_the_beam_of_stacked_sources(fwhm: float) -> None:
    rng = np.random.default_rng(2)
    places = np.array([[60.0, 70], [160, 60], [70, 160], [165, 170]]) + rng.uniform(-1, 1, (4, 2))
    image = np.full((230, 230), 2.0)
    psf = Psf.gaussian(fwhm_pixels=fwhm)
    psf.drawn_at(places[:, 0], places[:, 1], [500.0, 900.0, 400.0, 700.0]).add_to(image)
    near = places + rng.uniform(-2, 2, places.shape)  # the peak counts, not where it is sought
    stack = stacked(image, near, reach=24)
    assert stack.count == 4
    assert stack.fwhm == pytest.approx(fwhm, rel=0.015)
    assert (stack + stack).fwhm == pytest.approx(stack.fwhm)
    # At the border, on a hole, or on nothing there is no cut-out.
    image[60:65, 150:155] = np.nan
    edge = np.array([[3.0, 100.0], [100.0, 228.0], [160.0, 60.0]])
    none = stacked(image, edge, reach=24)
    assert none.count == 0
    assert math.isnan(none.fwhm)
    assert math.isnan(Stack(-stack.total, 4).fwhm)
