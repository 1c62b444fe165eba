"""The joint fit of fluxes: against dense least squares, and its errors against drawn noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astroclean_pais.fit import BandPixels, Prior, fit_bands, joint_fit
from astroclean_pais.fit_flags import FitFlag
from astroclean_pais.light import model_image, with_own, without
from astroclean_pais.normal_equations import overlapping
from scipy.optimize import nnls

from astroclean.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from astroclean.core.sources.sources import SourceStamp

SHAPE = (70, 90)


def scattered(profile: Callable[..., SourceStamp], count: int, seed: int) -> list[SourceStamp]:
    """Sources of several widths, some of whose boxes reach beyond the image."""
    rng = np.random.default_rng(seed)
    return [
        profile(
            3 * i + 7,
            rng.uniform(0, SHAPE[1] - 1),
            rng.uniform(0, SHAPE[0] - 1),
            sigma=rng.uniform(1, 2.5),
            half=int(rng.integers(6, 14)),
        )
        for i in range(count)
    ]


def noisy(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    variance = rng.uniform(0.5, 4, SHAPE)
    data = rng.normal(0, np.sqrt(variance)) + rng.uniform(0, 20, SHAPE)
    usable = rng.random(SHAPE) > 0.1
    data[rng.random(SHAPE) < 0.02] = np.nan
    variance[rng.random(SHAPE) < 0.02] = np.nan
    return data, variance, usable


def dense_answer(a: np.ndarray, pixels: Any) -> tuple[np.ndarray, np.ndarray]:
    data, variance, usable = (one.ravel() for one in pixels)
    used = usable & np.isfinite(data) & np.isfinite(variance)
    root = 1 / np.sqrt(variance[used])
    left, right = a[used] * root[:, None], data[used] * root
    flux = np.linalg.lstsq(left, right, rcond=None)[0]
    return flux, np.linalg.inv(left.T @ left)


@pytest.mark.parametrize("count", [1, 25, 120])
def test_fluxes_and_covariance_are_those_of_dense_least_squares(
    profile: Any, design: Any, count: int
) -> None:
    profiles, pixels = scattered(profile, count, 1), noisy(2)
    fit = joint_fit(profiles, *pixels)
    flux, covariance = dense_answer(design(profiles, SHAPE), pixels)
    error = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(fit.flux, flux, rtol=1e-9, atol=1e-9 * error.max())
    np.testing.assert_allclose(fit.flux_err, error, rtol=1e-9)
    for one, other in enumerate(fit.neighbor):
        if other:
            shared = covariance[one, fit.id.tolist().index(other)]
            assert fit.covariance[one] == pytest.approx(shared, rel=1e-7)
        else:
            assert fit.covariance[one] == 0


def test_a_blend_beyond_the_dense_limit_is_solved_alike(
    profile: Any, design: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles, pixels = scattered(profile, 90, 3), noisy(4)
    dense = joint_fit(profiles, *pixels)
    monkeypatch.setattr("astroclean_pais.blends._DENSE", 5)
    monkeypatch.setattr("astroclean_pais.blends._COLUMNS", 7)
    sparse = joint_fit(profiles, *pixels)
    np.testing.assert_allclose(sparse.flux, dense.flux, rtol=1e-9)
    # Correlations below 1e-4 are left out of the covariance.
    np.testing.assert_allclose(sparse.flux_err, dense.flux_err, rtol=1e-4)
    correlation = dense.covariance / dense.flux_err.max() / dense.flux_err
    strong = np.abs(correlation) > 0.01
    assert strong.sum() > 60
    np.testing.assert_array_equal(sparse.neighbor[strong], dense.neighbor[strong])
    np.testing.assert_allclose(sparse.covariance[strong], dense.covariance[strong], rtol=0.01)
    held = joint_fit(profiles, *pixels, positive=True)
    monkeypatch.undo()
    np.testing.assert_allclose(
        held.flux, joint_fit(profiles, *pixels, positive=True).flux, rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize("distance", [30.0, 2.5, 1.6])
def test_pulls_of_drawn_noise_have_a_deviation_of_one(profile: Any, distance: float) -> None:
    """Isolated, and in blends of .7 and .45 FWHM; the covariance of both is that of the draws."""
    rng = np.random.default_rng(11)
    profiles = [profile(1, 20, 35.3), profile(2, 20 + distance, 34.8), profile(3, 75, 20)]
    true = np.array([400.0, 150.0, 60.0])
    variance = rng.uniform(0.5, 4, SHAPE)
    light, usable = model_image(profiles, true, SHAPE), np.ones(SHAPE, dtype=bool)
    fits = [
        joint_fit(profiles, light + rng.normal(0, np.sqrt(variance)), variance, usable)
        for _ in range(200)
    ]
    off = np.array([fit.flux for fit in fits]) - true
    pulls = off / fits[0].flux_err
    # A deviation of 200 draws is known to 5 %; pulls are one number for three sources.
    np.testing.assert_allclose(pulls.std(axis=0), 1, atol=0.12)
    assert np.sqrt(np.mean(pulls**2)) == pytest.approx(1, abs=0.1)
    assert np.abs(pulls.mean(axis=0)).max() < 4 / np.sqrt(200)
    if distance < 10:
        assert fits[0].neighbor.tolist() == [2, 1, 0]
        correlation = fits[0].covariance[0] / fits[0].flux_err[:2].prod()
        assert np.corrcoef(off[:, 0], off[:, 1])[0, 1] == pytest.approx(correlation, abs=0.1)
        alone = joint_fit(profiles[:1], light, variance, usable).flux_err[0]
        assert fits[0].flux_err[0] > 1.05 * alone
    chi2 = np.mean([fit.chi2 for fit in fits], axis=0)
    np.testing.assert_allclose(chi2, 1, atol=0.1)


def test_pairs_that_overlap_are_those_that_a_loop_finds(profile: Any) -> None:
    profiles = [*scattered(profile, 60, 5), profile(1, 400, 400), profile(2, 45, 35, half=50)]
    covered = [np.zeros(SHAPE, dtype=bool) for _ in profiles]
    for one, image in zip(profiles, covered, strict=True):
        image[one.overlap(SHAPE)[0]] = True
    expected = [
        (i, j)
        for i in range(len(profiles))
        for j in range(i + 1, len(profiles))
        if (covered[i] & covered[j]).any()
    ]
    first, second = overlapping(profiles, SHAPE)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == expected


def test_without_negative_fluxes_the_fit_is_that_of_lawson_and_hanson(
    profile: Any, design: Any
) -> None:
    profiles = scattered(profile, 80, 6)
    rng = np.random.default_rng(7)
    data, one = rng.normal(0, 1, SHAPE), np.ones(SHAPE)
    free = joint_fit(profiles, data, one, one > 0)
    held = joint_fit(profiles, data, one, one > 0, positive=True)
    expected = nnls(design(profiles, SHAPE), data.ravel())[0]
    np.testing.assert_allclose(held.flux, expected, atol=1e-6)
    assert np.count_nonzero(held.flux == 0) > 20
    np.testing.assert_array_equal(held.flux_err, free.flux_err)
    negative = (free.flags & FitFlag.NEGATIVE) != 0
    np.testing.assert_array_equal(negative, free.flux < 0)
    assert negative.any()
    assert not (held.flags & FitFlag.NEGATIVE).any()


def test_a_source_is_shown_on_the_image_less_all_others(profile: Any) -> None:
    profiles, (data, variance, usable) = scattered(profile, 12, 8), noisy(9)
    fit = joint_fit(profiles, data, variance, usable)
    shown = without(data, profiles, fit.flux, range(12))
    for one, own in enumerate(profiles):
        others = [p for p in profiles if p is not own]
        flux = np.delete(fit.flux, one)
        rest = data - model_image(others, flux, SHAPE)
        on_image, of_box = own.overlap(SHAPE)
        np.testing.assert_allclose(shown[one][of_box], rest[on_image], atol=1e-9)
        beyond = np.ones(own.data.shape, dtype=bool)
        beyond[of_box] = False
        assert np.isnan(shown[one][beyond]).all()
        np.testing.assert_array_equal(with_own(fit.residual, own, fit.flux[one]), shown[one])


def test_bands_are_fitted_each_by_itself(profile: Any) -> None:
    wide = [profile(1, 20, 20, sigma=2.2), profile(4, 25, 22, sigma=2.2)]
    narrow = [profile(1, 20, 20), profile(4, 25, 22)]
    usable = np.ones(SHAPE, dtype=bool)
    pixels = {
        band: BandPixels(model_image(own, np.array([90.0, 5.0]) * k, SHAPE), usable * 1.0, usable)
        for k, (band, own) in enumerate({"g": wide, "r": narrow}.items(), start=1)
    }
    fits = fit_bands({"g": wide, "r": narrow}, pixels)
    assert list(fits) == ["g", "r"]
    np.testing.assert_allclose(fits["g"].flux, [90, 5])
    np.testing.assert_allclose(fits["r"].flux, [180, 10])
    assert (fits["g"].flux_err > fits["r"].flux_err).all()
    with pytest.raises(StageError, match=r"band 'r'.*different sources"):
        fit_bands({"g": wide, "r": narrow[::-1]}, pixels)
    with pytest.raises(StageError, match="different bands"):
        fit_bands({"g": wide}, pixels)


def test_a_prior_holds_a_flux_and_nothing_known_changes_nothing(profile: Any, design: Any) -> None:
    profiles, pixels = [profile(1, 20, 20), profile(2, 21, 20.5), profile(3, 60, 40)], noisy(10)
    free = joint_fit(profiles, *pixels)
    nothing = Prior(np.full(3, 100.0), np.array([np.inf, np.nan, np.inf]))
    np.testing.assert_array_equal(joint_fit(profiles, *pixels, prior=nothing).flux, free.flux)
    told = Prior(np.array([100.0, 0, 0]), np.array([2.0, np.nan, np.inf]))
    fit = joint_fit(profiles, *pixels, prior=told)
    _, covariance = dense_answer(design(profiles, SHAPE), pixels)
    flux, _ = dense_answer(design(profiles, SHAPE), pixels)
    precision = np.diag([0.25, 0, 0])
    after = np.linalg.inv(np.linalg.inv(covariance) + precision)
    expected = after @ (np.linalg.solve(covariance, flux) + precision @ told.flux)
    np.testing.assert_allclose(fit.flux, expected, rtol=1e-7)
    np.testing.assert_allclose(fit.flux_err, np.sqrt(np.diag(after)), rtol=1e-6)
    assert fit.flux_err[1] < free.flux_err[1]
