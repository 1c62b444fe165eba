"""What the network sees does not depend on unit or bad pixels, and answers make images of it."""

from __future__ import annotations

import numpy as np
import pytest
from astroclean_psf_cae.channels import ANSWERS, CHANNELS, Seen, composed, seen_of
from astroclean_psf_cae.filters import FilterBank, make_bank

from astroclean.core.psf.psf import Psf

SIDE = 48


@pytest.fixture(scope="module")
def bank() -> FilterBank:
    return make_bank(Psf.gaussian(fwhm_pixels=4.0).fine[0], SIDE)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    noise = np.random.default_rng(3).standard_normal((2, SIDE, SIDE))
    y, x = np.indices((SIDE, SIDE)) - 24
    return (noise + 30 * np.exp(-(x**2 + y**2) / 18)).astype(np.float32)


def seen(images: np.ndarray, bank: FilterBank, noise: float = 1.0, fit: float = 0.0) -> Seen:
    valid = np.isfinite(images)
    fitted = np.full_like(images, fit)
    return seen_of(images, valid, fitted, fitted, bank, noise)


def test_planes_have_no_unit(images: np.ndarray, bank: FilterBank) -> None:
    one, other = seen(images, bank), seen(1000 * images, bank, noise=1000.0)
    np.testing.assert_allclose(other.planes, one.planes, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(other.scale, 1000 * one.scale, rtol=1e-4)


def test_values_of_bad_pixels_are_not_read(images: np.ndarray, bank: FilterBank) -> None:
    valid = np.ones(images.shape, dtype=bool)
    valid[:, 20:23, 25] = False
    none = np.zeros_like(images)
    damaged = np.where(valid, images, np.nan).astype(np.float32)
    one, other = (seen_of(i, valid, none, none, bank) for i in (images, damaged))
    np.testing.assert_array_equal(one.planes, other.planes)
    assert np.isfinite(other.planes).all()
    assert (other.planes[:, CHANNELS.index("valid")] == valid).all()


def test_keeping_the_fit_gives_the_fit(images: np.ndarray, bank: FilterBank) -> None:
    look = seen(images, bank, fit=2.0)
    answer = np.zeros((2, len(ANSWERS), SIDE, SIDE), np.float32)
    answer[:, 0] = 50
    image, error = composed(answer, look)
    np.testing.assert_allclose(image, 2.0, rtol=1e-3)
    np.testing.assert_allclose(error, look.scale, rtol=1e-5)


def test_taking_a_filter_adds_what_it_makes_of_the_rest(
    images: np.ndarray, bank: FilterBank
) -> None:
    look = seen(images, bank)
    answer = np.zeros((2, len(ANSWERS), SIDE, SIDE), np.float32)
    answer[:, 2] = 50
    image, _ = composed(answer, look)
    np.testing.assert_allclose(image, look.rest[:, 1] * look.scale, rtol=1e-4, atol=1e-4)
