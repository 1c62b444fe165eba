"""Fluxes of compact sources: of a table, evenly of six classes of S/N."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astroclean.core.sources.holes import HoleRule
from astroclean.simulate.compact import SNR_CLASSES, TABLE_1, draw_flux, draw_fluxes


@pytest.mark.parametrize("unit", [1e-3, 1.0, 20.0])
def test_classes_are_drawn_evenly(unit: float) -> None:
    rng = np.random.default_rng(1)
    snr = np.array([draw_flux(rng, unit) for _ in range(3000)]) / unit
    counts = np.histogram(snr, SNR_CLASSES)[0]
    assert counts.sum() == 3000
    # Five standard deviations.
    assert np.abs(counts - 500).max() < 5 * np.sqrt(3000 / 6 * 5 / 6)


@given(st.integers(0, 1000), st.floats(0.01, 1e4))
def test_fluxes_are_of_the_table_where_it_has_any_of_the_class(seed: int, unit: float) -> None:
    flux = draw_flux(np.random.default_rng(seed), unit)
    place = int(np.searchsorted(SNR_CLASSES, flux / unit * (1 + 1e-12), side="right"))
    low, high = (SNR_CLASSES[min(max(place - 1 + i, 0), 6)] * unit for i in range(2))
    assert flux in TABLE_1 or not ((1.001 * low < TABLE_1) & (0.999 * high > TABLE_1)).any()


def test_without_scatter_there_is_no_flux() -> None:
    rng = np.random.default_rng(1)
    assert [draw_flux(rng, unit) for unit in (0.0, np.nan, -1.0)] == [0, 0, 0]


def test_fluxes_follow_the_scatter_around_their_places() -> None:
    noise = np.random.default_rng(2).normal(0, 1, (80, 160))
    noise[:, 80:] *= 1000
    places = np.array([[40.0, 40.0], [120.0, 40.0]] * 100)
    sizes = HoleRule().in_pixels(fwhm_pixels=3.0)
    usable = np.ones(noise.shape, bool)
    rng = np.random.default_rng(3)
    flux = draw_fluxes(rng, noise, usable, places, sizes=sizes, peak=0.1)
    ratio = np.median(flux[1::2]) / np.median(flux[::2])
    assert 100 < ratio < 10_000
    assert flux[::2].max() < 1.3 * SNR_CLASSES[-1] / 0.1
    np.testing.assert_array_equal(
        draw_fluxes(rng, noise, ~usable, places, sizes=sizes, peak=0.1), 0
    )
