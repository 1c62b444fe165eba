"""Images of sources are what the PSF's own drawing and GalSim make of the same light."""

from __future__ import annotations

import numpy as np
import pytest
from astroclean_pais.models import elliptical_models, shape_matrix

from astroclean.core.psf.psf import Psf
from astroclean.core.psf.transform import HALVES, convolved, psf_transform

galsim = pytest.importorskip("galsim", reason="GalSim is not installed")
OFFSETS = np.array([[0.0, 0.0], [0.31, -0.42], [-0.5, 0.5], [0.125, 0.77]])
STAR = np.zeros((len(OFFSETS), 3))
SIDE = 48


def moffat(fwhm: float) -> Psf:
    model = galsim.Moffat(beta=3.0, fwhm=fwhm, trunc=6 * fwhm).shear(g1=0.05, g2=-0.03)
    return Psf.from_model(model, pixel_scale_arcsec=1.0, size=65)


@pytest.mark.parametrize("fwhm", [2.0, 3.3])
def test_stars_are_those_of_the_psf(fwhm: float) -> None:
    psf = moffat(fwhm)
    drawn = elliptical_models(psf_transform(psf.fine_at(0, 0), SIDE), OFFSETS, STAR, SIDE)
    box = (slice(0, SIDE), slice(0, SIDE))
    middle = SIDE // 2
    true = psf.drawn_at(middle + OFFSETS[:, 1], middle + OFFSETS[:, 0], box=box).data
    assert np.abs(drawn - true).max() < 1e-4 * true.max()


@pytest.mark.parametrize(("radius", "e1", "e2"), [(3.0, 0.25, 0.1), (5.0, 0.0, -0.4)])
def test_disks_are_those_of_galsim(radius: float, e1: float, e2: float) -> None:
    """A sheared exponential through a Moffat.

    Hogg & Lang's Gaussians leave out the light of the farthest wings: 1.4 % of a disk.
    """
    seeing = galsim.Moffat(beta=3.0, fwhm=3.5, trunc=21.0)
    psf = Psf.from_model(seeing, pixel_scale_arcsec=1.0, size=65)
    disk = galsim.Exponential(half_light_radius=radius).shear(g1=e1, g2=e2)
    matrix = shape_matrix(np.array([radius]), np.array([e1]), np.array([e2]))
    side, offset = 64, np.array([[0.3, -0.2]])
    drawn = elliptical_models(psf_transform(psf.fine_at(0, 0), side), offset, matrix, side)[0]
    # GalSim counts from the middle of the image, half a pixel before ours.
    place = {"nx": side, "ny": side, "scale": 1.0, "offset": (0.5 - 0.2, 0.5 + 0.3)}
    true = galsim.Convolve(disk, seeing).drawImage(**place).array
    scale = np.sum(drawn * true) / np.sum(drawn**2)
    assert 0.98 < scale < 1
    assert np.abs(scale * drawn - true).max() < 2.5e-3 * true.max()


def test_any_gaussian_is_that_of_galsim() -> None:
    """What is drawn of one of the Gaussians of a disk, whatever the disk is made of."""
    seeing = galsim.Moffat(beta=3.0, fwhm=3.5, trunc=21.0)
    psf = Psf.from_model(seeing, pixel_scale_arcsec=1.0, size=65)
    image = np.zeros((1, 2 * SIDE, 2 * SIDE))
    y, x = np.indices(image.shape[1:]) - SIDE
    image[0] = np.exp(-(x**2) / 72 - y**2 / 32)
    image /= image.sum()
    transform = psf_transform(psf.fine_at(0, 0), SIDE)
    drawn = convolved(transform, np.array([[0.3, -0.2]]), image, SIDE)[0]
    light = galsim.Gaussian(sigma=np.sqrt(6.0)).shear(q=2 / 3, beta=0 * galsim.degrees)
    place = {"nx": SIDE, "ny": SIDE, "scale": 1.0, "offset": (0.5 - 0.2, 0.5 + 0.3)}
    true = galsim.Convolve(light, seeing).drawImage(**place).array
    assert np.abs(drawn - true).max() < 1e-3 * true.max()


def test_the_light_is_one_where_the_stamp_holds_it() -> None:
    psf = Psf.gaussian(fwhm_pixels=2.5)
    matrix = shape_matrix(np.full(4, 2.0), np.full(4, 0.2), np.zeros(4))
    transform = psf_transform(psf.fine_at(0, 0), SIDE)
    for matrices in (STAR, matrix):
        drawn = elliptical_models(transform, OFFSETS, matrices, SIDE)
        np.testing.assert_allclose(drawn.sum(axis=(1, 2)), 1, atol=2e-3)
        assert (drawn.sum(axis=(1, 2)) < 1 + 1e-5).all()


def test_light_that_leaves_a_stamp_does_not_come_in_again() -> None:
    """The same source on a small stamp and on a large one."""
    psf, matrix = moffat(3.0), shape_matrix(np.array([4.0]), np.array([0.1]), np.array([0.3]))
    small, large = (
        elliptical_models(psf_transform(psf.fine_at(0, 0), side), OFFSETS[1:2], matrix, side)[0]
        for side in (32, 128)
    )
    assert np.abs(small - large[48:80, 48:80]).max() < 2e-3 * large.max()


def test_a_point_on_half_pixels_is_a_star() -> None:
    transform = psf_transform(moffat(2.4).fine_at(0, 0), SIDE)
    image = np.zeros((len(OFFSETS), HALVES * SIDE, HALVES * SIDE), dtype=np.float32)
    image[:, SIDE, SIDE] = 1
    stars = elliptical_models(transform, OFFSETS, STAR, SIDE)
    drawn = convolved(transform, OFFSETS, image, SIDE)
    np.testing.assert_allclose(drawn, stars, atol=1e-6 * float(stars.max()) + 1e-8)
    beside = np.roll(image, (3, -1), axis=(1, 2))
    moved = elliptical_models(transform, OFFSETS + np.array([1.5, -0.5]), STAR, SIDE)
    np.testing.assert_allclose(convolved(transform, OFFSETS, beside, SIDE), moved, atol=1e-5)


def test_matrices_have_the_size_and_the_shape_that_was_told() -> None:
    rng = np.random.default_rng(1)
    radius, e1, e2 = rng.uniform(0.5, 9, 20), rng.uniform(-0.5, 0.5, 20), rng.uniform(-0.5, 0.5, 20)
    yy, xx, xy = shape_matrix(radius, e1, e2).T
    area = np.sqrt(yy * xx - xy**2)
    np.testing.assert_allclose(area, radius**2)
    np.testing.assert_allclose((xx - yy) / (xx + yy + 2 * area), e1, atol=1e-12)
    np.testing.assert_allclose(2 * xy / (xx + yy + 2 * area), e2, atol=1e-12)
    assert np.isfinite(shape_matrix(np.ones(1), np.full(1, 3.0), np.zeros(1))).all()
