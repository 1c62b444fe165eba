"""What the fit does where the pixels do not tell: it says so, and no number is sure of itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from astroclean_pais.fit import Prior, joint_fit
from astroclean_pais.fit_flags import FitFlag
from astroclean_pais.light import model_image

from astroclean.errors import StageError

SHAPE = (60, 60)
ONE = np.ones(SHAPE)


def fitted(profiles: Any, data: Any, usable: Any = None, **settings: Any) -> Any:
    return joint_fit(profiles, data, ONE, ONE > 0 if usable is None else usable, **settings)


def test_a_source_without_a_usable_pixel_has_no_flux_and_says_so(profile: Any) -> None:
    profiles = [profile(1, 20, 20), profile(2, 24, 20), profile(3, -40, 20)]
    usable = np.ones(SHAPE, dtype=bool)
    usable[profiles[0].slices()] = False
    data = model_image(profiles, np.array([50.0, 80.0, 10.0]), SHAPE)
    fit = fitted(profiles, np.where(usable, data, np.nan), usable)
    assert np.isnan(fit.flux[[0, 2]]).all()
    assert np.isnan(fit.flux_err[[0, 2]]).all()
    assert (fit.flags[[0, 2]] & FitFlag.NO_PIXELS).all()
    assert fit.flux[1] == pytest.approx(80)
    assert not fit.flags[1] & FitFlag.NO_PIXELS
    told = fitted(profiles, data, usable, prior=Prior(np.full(3, 30.0), np.full(3, 5.0)))
    np.testing.assert_allclose([told.flux[0], told.flux_err[0]], [30, 5])
    assert told.flags[0] & FitFlag.NO_PIXELS


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("distance", [0.0, 1e-6, 1e-3])
def test_sources_that_no_pixel_tells_apart_share_their_light_in_great_doubt(
    profile: Any, distance: float, positive: bool
) -> None:
    profiles = [profile(1, 20, 20), profile(2, 20 + distance, 20), profile(3, 24, 22)]
    rng = np.random.default_rng(1)
    data = model_image(profiles, np.array([300.0, 100.0, 60.0]), SHAPE) + rng.normal(0, 1, SHAPE)
    fit = fitted(profiles, data, positive=positive)
    alone = fitted(profiles[:1], data)
    assert ((fit.flags & FitFlag.DEGENERATE) != 0).tolist() == [True, True, False]
    assert np.isfinite(fit.flux).all()
    assert fit.flux[:2].sum() == pytest.approx(400, abs=5 * alone.flux_err[0])
    assert (fit.flux_err[:2] > 500 * alone.flux_err[0]).all()
    assert (np.abs(fit.flux[:2] - [300, 100]) < 5 * fit.flux_err[:2]).all()
    assert fit.neighbor[:2].tolist() == [2, 1]
    assert fit.covariance[0] / fit.flux_err[:2].prod() == pytest.approx(-1, abs=1e-3)
    assert abs(fit.flux[2] - 60) < 5 * fit.flux_err[2] < 50
    if distance == 0 and not positive:
        np.testing.assert_allclose(fit.flux[0], fit.flux[1], rtol=1e-4)


def test_a_prior_tells_apart_what_pixels_do_not(profile: Any) -> None:
    profiles = [profile(1, 20, 20), profile(2, 20, 20)]
    data = model_image(profiles, np.array([300.0, 100.0]), SHAPE)
    fit = fitted(profiles, data, prior=Prior(np.array([290.0, 0]), np.array([10.0, np.inf])))
    np.testing.assert_allclose(fit.flux, [290, 110], rtol=1e-3)
    np.testing.assert_allclose(
        fit.flux_err, [10, np.hypot(10, 2 * np.sqrt(np.pi) * 1.5)], rtol=0.01
    )


def test_many_copies_of_one_source_beyond_the_dense_limit(
    profile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("astroclean_pais.blends._DENSE", 3)
    profiles = [profile(i, 20, 20) for i in range(1, 8)] + [profile(9, 22, 20)]
    data = model_image(profiles, np.full(8, 10.0), SHAPE)
    for positive in (False, True):
        fit = fitted(profiles, data, positive=positive)
        assert fit.flux[:7].sum() == pytest.approx(70, rel=1e-3)
        assert fit.flux[7] == pytest.approx(10, rel=1e-3)
        assert ((fit.flags & FitFlag.DEGENERATE) != 0).tolist() == [True] * 7 + [False]


def test_what_is_seen_in_part_is_flagged(profile: Any) -> None:
    profiles = [profile(1, 30, 30), profile(2, 10, 1), profile(3, 10, 55), profile(4, 45, 45)]
    data = model_image(profiles, np.full(4, 100.0), SHAPE)
    usable = np.ones(SHAPE, dtype=bool)
    usable[30, 30] = False
    usable[48, 45] = False  # two standard deviations out is no core
    flags = fitted(profiles, data, usable).flags
    assert ((flags & FitFlag.MASKED_CORE) != 0).tolist() == [True, False, False, False]
    assert ((flags & FitFlag.BORDER) != 0).tolist() == [False, True, False, False]
    # The same, where the box was cut at the border.
    cut = [replace(p, origin=(max(p.origin[0], 0), p.origin[1])) for p in profiles]
    cut[1] = replace(cut[1], data=profiles[1].data[-profiles[1].origin[0] :])
    np.testing.assert_array_equal(fitted(cut, data, usable).flags, flags)


def test_a_model_that_does_not_explain_the_pixels_is_a_poor_fit(profile: Any) -> None:
    true = [profile(1, 20, 20, sigma=2.5), profile(2, 45, 45)]
    data = model_image(true, np.array([800.0, 800.0]), SHAPE)
    data += np.random.default_rng(3).normal(0, 1, SHAPE)
    fit = fitted([profile(1, 20, 20), true[1]], data)
    assert ((fit.flags & FitFlag.POOR_FIT) != 0).tolist() == [True, False]
    assert fit.chi2[0] > 2
    assert 0.5 < fit.chi2[1] < 1.5


def test_no_sources_leave_the_image_as_it_is() -> None:
    data = np.arange(3600.0).reshape(SHAPE)
    for positive in (False, True):
        fit = fitted([], data, positive=positive)
        assert fit.flux.shape == fit.flags.shape == fit.neighbor.shape == (0,)
        np.testing.assert_array_equal(fit.residual, data)


def test_what_cannot_be_fitted_is_refused(profile: Any) -> None:
    one = profile(1, 20, 20)
    with pytest.raises(StageError, match="one shape"):
        joint_fit([one], ONE, ONE[:5], ONE > 0)
    broken = replace(one, data=np.where(one.data > 0.05, np.nan, one.data))
    with pytest.raises(StageError, match=r"source 1.*not finite|not finite.*source 1"):
        fitted([broken], ONE)
    with pytest.raises(StageError, match="two images"):
        fitted([one, one], ONE)
    with pytest.raises(StageError, match="prior"):
        fitted([one], ONE, prior=Prior(np.zeros(2), np.ones(2)))


def test_inputs_are_not_written_to(profile: Any) -> None:
    profiles = [profile(1, 20, 20), profile(2, 22, 20)]
    data, variance = np.full(SHAPE, 2, dtype=np.float32), ONE.astype(np.float32)
    arrays = [data, variance, *(p.data for p in profiles)]
    before = [a.copy() for a in arrays]
    for array in arrays:
        array.flags.writeable = False
    joint_fit(profiles, data, variance, ONE > 0, prior=Prior(np.zeros(2), np.ones(2)))
    for array, kept in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, kept)
