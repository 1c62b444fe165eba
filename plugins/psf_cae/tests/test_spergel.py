"""Spergel profiles are those of GalSim, and fits find them with honest errors."""

from __future__ import annotations

import numpy as np
import pytest
from astroclean_psf_cae.spergel import (
    PARAMETERS,
    images_with_derivatives,
    sharp_images,
    spergel_images,
)
from astroclean_psf_cae.spergel_fit import SpergelFit, fit_spergel

from astroclean.core.psf.psf import Psf
from astroclean.core.psf.transform import psf_transform

galsim = pytest.importorskip("galsim", reason="GalSim is not installed")
SIDE = 64
MOFFAT = galsim.Moffat(beta=3, fwhm=3.5).shear(g1=0.12, g2=-0.05)


@pytest.fixture(scope="module")
def transform() -> np.ndarray:
    psf = Psf.from_model(MOFFAT, pixel_scale_arcsec=1.0, size=65)
    return psf_transform(psf.fine[0], SIDE, samples=1)


def values_of(count: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = np.zeros((count, len(PARAMETERS)))
    values[:, :2] = rng.uniform(-1, 1, (count, 2))
    values[:, 2] = 1.0
    values[:, 3] = np.log(rng.uniform(1, 5, count))
    values[:, 4:6] = rng.normal(0, 0.15, (count, 2))
    values[:, 6] = rng.uniform(-0.3, 1.0, count)
    return values


@pytest.mark.parametrize(("radius", "nu", "g1", "g2"), [(3.0, 0.5, 0.2, -0.1), (2.0, -0.5, 0, 0.4)])
def test_images_are_those_of_galsim(
    transform: np.ndarray, radius: float, nu: float, g1: float, g2: float
) -> None:
    drawn = spergel_images(
        np.array([[0.3, -1.2, 1000.0, np.log(radius), g1, g2, nu, 0.0]]), transform, SIDE
    )[0]
    profile = galsim.Spergel(nu=nu, half_light_radius=radius, flux=1000).shear(g1=g1, g2=g2)
    true = galsim.Convolve(profile, MOFFAT).drawImage(
        nx=SIDE, ny=SIDE, scale=1.0, offset=(-1.2 + 0.5, 0.3 + 0.5), dtype=float
    )
    assert np.abs(drawn - true.array).max() < 3e-3 * true.array.max()


@pytest.mark.parametrize("radius", [0.1, 1.0, 3.0])
def test_sharp_images_are_those_of_galsim_and_the_target(radius: float) -> None:
    values = np.array([[0.3, -0.2, 1000.0, np.log(radius), 0.2, -0.1, 0.5, 0.0]])
    drawn = sharp_images(values, SIDE)[0]
    profile = galsim.Spergel(nu=0.5, half_light_radius=radius, flux=1000).shear(g1=0.2, g2=-0.1)
    true = galsim.Convolve(profile, galsim.Gaussian(fwhm=2.0)).drawImage(
        nx=SIDE, ny=SIDE, scale=1.0, offset=(-0.2 + 0.5, 0.3 + 0.5), dtype=float
    )
    assert np.abs(drawn - true.array).max() < 3e-3 * true.array.max()


@pytest.mark.parametrize("row", range(len(PARAMETERS) - 1))
def test_derivatives_are_differences(transform: np.ndarray, row: int) -> None:
    values = np.array([[0.3, -1.2, 1000.0, np.log(3.0), 0.2, -0.1, 0.5, 0.0]])
    step = np.zeros_like(values)
    step[0, row] = 10 if PARAMETERS[row] == "flux" else 1e-2
    change = spergel_images(values + step, transform, SIDE) - spergel_images(
        values - step, transform, SIDE
    )
    told = images_with_derivatives(values, transform, SIDE)[0, 1 + row]
    numeric = change[0] / (2 * step[0, row])
    assert np.abs(told - numeric).max() < 1e-3 * np.abs(numeric).max()


def noisy(transform: np.ndarray, snr: float, count: int = 48) -> tuple[np.ndarray, np.ndarray]:
    values = values_of(count)
    images = spergel_images(values, transform, SIDE)
    values[:, 2] = snr / np.sqrt((images**2).sum(axis=(1, 2)))
    noise = np.random.default_rng(4).standard_normal(images.shape)
    return values, values[:, 2, np.newaxis, np.newaxis] * images + noise


def test_fits_find_the_profiles_within_their_errors(transform: np.ndarray) -> None:
    values, images = noisy(transform, 60.0)
    places = values[:, :2] + np.random.default_rng(5).normal(0, 0.3, (len(values), 2))
    fit = fit_spergel(images, np.ones_like(images), transform, places, fwhm=3.7)
    pull = (fit.values - values) / np.sqrt(np.diagonal(fit.covariance, axis1=1, axis2=2))
    # Place, flux and shear are told by the data; radius and index by the priors, too.
    assert (np.abs(np.sqrt(np.mean(pull[:, :3] ** 2, axis=0)) - 1) < 0.3).all()
    assert (np.sqrt(np.mean(pull[:, 4:6] ** 2, axis=0)) < 1.3).all()
    assert np.median(fit.chi2) == pytest.approx(1, abs=0.02)
    assert np.abs(fit.flux / values[:, 2] - 1).max() < 0.15


def test_pixels_without_weight_do_not_count(transform: np.ndarray) -> None:
    values, images = noisy(transform, 200.0, count=4)
    weights = np.ones_like(images)
    weights[:, 30:33, 34:36] = 0
    damaged = np.where(weights > 0, images, 1e6)
    fits = [
        fit_spergel(one, weights, transform, values[:, :2], fwhm=3.7) for one in (images, damaged)
    ]
    np.testing.assert_array_equal(fits[0].values, fits[1].values)
    assert np.abs(fits[1].flux / values[:, 2] - 1).max() < 0.1


def test_a_fit_goes_on_where_one_ended(transform: np.ndarray) -> None:
    values, images = noisy(transform, 60.0, count=6)
    weights = np.ones_like(images)
    first = fit_spergel(images, weights, transform, values[:, :2], fwhm=3.7, iterations=15)
    again = fit_spergel(
        images, weights, transform, values[:, :2], fwhm=3.7, iterations=2, start=first.values
    )
    np.testing.assert_allclose(again.flux, first.flux, rtol=1e-3)


def test_no_stamps_no_fits(transform: np.ndarray) -> None:
    none = np.zeros((0, SIDE, SIDE))
    fit = fit_spergel(none, none, transform, np.zeros((0, 2)), fwhm=3.7)
    assert len(fit) == 0
    assert len(SpergelFit.of_nothing(3)) == 3
