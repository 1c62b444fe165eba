"""Filters: round whatever the PSF is, of the noise that is told, with a guard for zeros."""

from __future__ import annotations

import numpy as np
import pytest
from astroclean_psf_cae.filters import (
    STRENGTHS,
    FilterBank,
    filtered,
    make_bank,
    reblurring,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.core.psf.psf import Psf
from astroclean.core.psf.target import target_psf
from astroclean.evaluation.metrics.deconvolve import shape_of
from astroclean.simulate.psfs import make_psf

pytest.importorskip("galsim", reason="GalSim is not installed")
SIDE = 64


def psf_of(kind: str, fwhm: float = 4.0, shear: float = 0.2) -> Psf:
    return make_psf(kind, fwhm_pixels=fwhm, shear=shear, angle=0.4).psf


@pytest.mark.parametrize("kind", ["moffat", "kolmogorov", "airy", "optical"])
def test_a_star_is_round_after_every_filter(kind: str) -> None:
    psf = psf_of(kind)
    bank = make_bank(psf.fine[0], SIDE)
    star = psf.drawn_at(32.3, 31.6, 1000.0, box=(slice(0, SIDE), slice(0, SIDE))).data
    before = shape_of(star, center=(32.3, 31.6), radius=4.0).ellipticity
    for image in filtered(star, bank.rounding, bank.matched, bank.wiener[2]):
        shape = shape_of(image, center=(32.3, 31.6), radius=4.0)
        assert abs(shape.ellipticity) < max(0.02 * abs(before), 3e-3)


def test_rounding_is_exact_for_what_passes() -> None:
    """A galaxy under an elliptical Moffat becomes the galaxy under the round Gaussian."""
    import galsim

    galaxy = galsim.Exponential(half_light_radius=3.0, flux=100).shear(g1=0.3, g2=-0.1)
    moffat = galsim.Moffat(beta=3.5, fwhm=4.0).shear(g1=0.1, g2=0.05)
    psf = Psf.from_model(moffat, pixel_scale_arcsec=1.0, size=61)
    bank = make_bank(psf.fine[0], SIDE)

    def drawn(*parts: object, method: str) -> np.ndarray:
        image = galsim.Convolve(galaxy, *parts).drawImage(
            nx=SIDE, ny=SIDE, scale=1.0, method=method, dtype=float
        )
        return image.array

    seen = drawn(moffat, method="auto")
    (image,) = filtered(seen, bank.rounding)
    true = drawn(galsim.Gaussian(fwhm=float(bank.width)), method="no_pixel")
    assert np.abs(image - true).max() < 5e-3 * true.max()


def test_noise_is_that_which_is_told() -> None:
    psf = psf_of("moffat")
    bank = make_bank(psf.fine[0], SIDE)
    noise = np.random.default_rng(1).standard_normal((40, SIDE, SIDE)).astype(np.float32)
    images = filtered(noise, bank.rounding, bank.matched, *bank.wiener)
    inner = np.s_[:, 20:44, 20:44]
    for image, told in zip(images, bank.noise, strict=True):
        assert image[inner].std() == pytest.approx(float(told), rel=0.05)


def test_stronger_filters_have_less_noise() -> None:
    noise = make_bank(psf_of("moffat").fine[0], SIDE).noise[2:]
    assert len(noise) == len(STRENGTHS)
    assert (np.diff(noise) > 0).all()


@settings(deadline=None, max_examples=20)
@given(st.floats(2.0, 8.0), st.floats(0.0, 0.25), st.sampled_from(["moffat", "airy"]))
def test_no_frequency_is_multiplied_without_bound(fwhm: float, shear: float, kind: str) -> None:
    bank = make_bank(make_psf(kind, fwhm_pixels=fwhm, shear=shear).psf.fine[0], SIDE)
    assert np.isfinite(bank.wiener).all()
    assert np.abs(bank.rounding).max() < 2.0


def test_the_target_convolved_with_the_psf_again_is_the_frame() -> None:
    psf = psf_of("moffat")
    bank = make_bank(psf.fine[0], SIDE)
    box = (slice(0, SIDE), slice(0, SIDE))
    sharp = target_psf().drawn_at(31.2, 32.7, 50.0, box=box).data
    (again,) = filtered(sharp, reblurring(bank))
    seen = psf.drawn_at(31.2, 32.7, 50.0, box=box).data
    assert np.abs(again - seen).max() < 0.02 * seen.max()


def test_stacked_filters_are_those_of_each() -> None:
    psfs = [psf_of("moffat", 3.0), psf_of("kolmogorov", 5.0)]
    banks = [make_bank(psf.fine[0], SIDE) for psf in psfs]
    both = FilterBank.stacked(banks)
    images = np.random.default_rng(2).standard_normal((2, SIDE, SIDE)).astype(np.float32)
    (together,) = filtered(images, both.matched)
    for number, bank in enumerate(banks):
        (alone,) = filtered(images[number], bank.matched)
        np.testing.assert_allclose(together[number], alone, atol=1e-6)
