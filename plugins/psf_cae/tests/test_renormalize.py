"""The flux that the data tell of a model, and the correction of what is wrong with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astroclean_psf_cae.renormalize import (
    fitted_flux_correction,
    recovered_snr,
    renormalization,
)

from astroclean.errors import AstrocleanError

Y, X = np.mgrid[:24, :20]


def model(width: float = 2.0) -> np.ndarray[Any, Any]:
    return np.exp(-((Y - 11) ** 2 + (X - 9) ** 2) / (2 * width**2))


def test_without_noise_it_is_the_ratio() -> None:
    models = np.stack([model(1.5), model(3.0), 10 * model(2.0)])
    factors = np.array([7.0, -0.5, 1e-6])
    data = factors[:, np.newaxis, np.newaxis] * models
    np.testing.assert_allclose(renormalization(models, data), factors, rtol=1e-12)
    assert renormalization(models[0], data[0]).shape == ()


def test_it_is_that_of_equation_two() -> None:
    rng = np.random.default_rng(1)
    blurred, data = rng.normal(size=(2, 3, 24, 20))
    told = np.sum(blurred * data, axis=(1, 2)) / np.sum(blurred**2, axis=(1, 2))
    np.testing.assert_allclose(renormalization(blurred, data), told, rtol=1e-12)


def test_it_has_the_least_weighted_squares() -> None:
    rng = np.random.default_rng(2)
    variance = rng.uniform(0.5, 4.0, X.shape)
    data = 3 * model() + np.sqrt(variance) * rng.normal(size=X.shape)
    usable = rng.random(X.shape) > 0.2

    def misfit(factor: float) -> float:
        return float(np.sum((((data - factor * model()) ** 2) / variance)[usable]))

    best = float(renormalization(model(), data, variance, usable))
    assert misfit(best) < min(misfit(best + 1e-3), misfit(best - 1e-3))


def test_weights_make_it_as_good_as_its_error_says() -> None:
    """Its scatter is that of the theory, and smaller than without weights."""
    rng = np.random.default_rng(3)
    variance = np.where(X < 9, 1.0, 25.0)
    data = 40 * model() + np.sqrt(variance) * rng.normal(size=(4000, *X.shape))
    models = np.broadcast_to(model(), data.shape)
    found = renormalization(models, data, np.broadcast_to(variance, data.shape))
    error = np.sum(model() ** 2 / variance) ** -0.5
    assert found.mean() == pytest.approx(40, abs=4 * error / np.sqrt(4000))
    assert found.std() == pytest.approx(error, rel=0.05)
    assert renormalization(models, data).std() > 1.3 * error
    snr = recovered_snr(models, data, np.broadcast_to(variance, data.shape))
    np.testing.assert_allclose(snr, found / error, rtol=1e-9)


def test_pixels_that_are_not_to_be_believed_do_not_count() -> None:
    data, variance = 5 * model(), np.full(X.shape, 2.0)
    usable = np.ones(X.shape, dtype=bool)
    data[10, 9], usable[10, 9] = 1e6, False
    data[11, 9] = np.nan
    variance[12, 9], data[12, 9] = np.inf, -1e6
    variance[11, 10], data[11, 10] = 0.0, 1e6
    variance[11, 8], data[11, 8] = np.nan, 1e6
    assert renormalization(model(), data, variance, usable) == pytest.approx(5, rel=1e-12)


def test_where_the_data_tell_nothing_it_is_not_a_number() -> None:
    models, data = np.stack([np.zeros_like(model()), model()]), np.stack([model(), model()])
    usable = np.stack([np.ones(X.shape, bool), model() < 0.5])
    found = renormalization(models, data, usable=usable)
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(1)
    hidden = np.zeros(X.shape, dtype=bool)
    assert np.isnan(renormalization(model(), model(), usable=hidden))
    assert np.isnan(recovered_snr(model(), model(), np.ones(X.shape), hidden))


def test_other_pixels_are_an_error() -> None:
    with pytest.raises(AstrocleanError, match=r"same pixels, \(24, 20\) \(got \(20, 24\)\)"):
        renormalization(model().T, model())


def test_a_correction_finds_the_law_that_fluxes_follow() -> None:
    rng = np.random.default_rng(4)
    snr = np.exp(rng.uniform(np.log(4), np.log(400), 6000))
    law = 0.8 + 0.12 * np.log10(snr) - 0.02 * np.log10(snr) ** 2
    ratio = law + rng.normal(size=snr.size) / snr
    ratio[::100] = 30.0  # what was fitted is something else
    correction = fitted_flux_correction(snr, ratio)
    at = np.geomspace(6, 300, 30)
    right = 0.8 + 0.12 * np.log10(at) - 0.02 * np.log10(at) ** 2
    np.testing.assert_allclose(correction.factor(at), right, atol=0.01)


def test_a_correction_never_extrapolates() -> None:
    snr = np.geomspace(10, 100, 300)
    correction = fitted_flux_correction(snr, np.log10(snr) - 0.5)
    low, high = correction.snr
    assert 10 <= low < high <= 100
    ends = correction.factor(np.array([low, high]))
    beyond = correction.factor(np.array([1e-3, 1.0, low / 2, 2 * high, 1e9]))
    np.testing.assert_allclose(beyond, ends[[0, 0, 0, 1, 1]])
    assert np.isnan(correction.factor(np.array([np.nan]))).all()


def test_a_correction_leaves_out_what_has_no_signal() -> None:
    snr = np.geomspace(10, 100, 300)
    ratio = np.log10(snr)
    more = np.append(snr, [-3, np.nan, 5]), np.append(ratio, [9, 1, np.nan])
    assert fitted_flux_correction(*more) == fitted_flux_correction(snr, ratio)


@pytest.mark.parametrize("snr", [np.geomspace(1, 9, 10), np.full(100, 7.0), np.full(100, np.nan)])
def test_too_little_for_a_correction_is_an_error(snr: np.ndarray[Any, Any]) -> None:
    with pytest.raises(AstrocleanError, match="15 sources of several S/N"):
        fitted_flux_correction(snr, np.ones(snr.size))
