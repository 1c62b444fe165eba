"""Joint Richardson-Lucy: point sources come back from images of several beams."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from astroclean.core.psf.joint_deconvolution import (
    BandImage,
    beam_convolved,
    joint_richardson_lucy,
)
from astroclean.errors import FrameError

BEAMS, GAINS, NOISE = (6.0, 8.3, 12.2), (1.9, 1.45, 0.85), 0.5
PLACES = ((40, 30), (47, 34), (20, 70), (70, 64), (4, 50))
FLUXES = (10.0, 8.0, 20.0, 15.0, 12.0)


def _sky() -> np.ndarray:
    sky = np.zeros((90, 100), dtype=np.float32)
    for place, flux in zip(PLACES, FLUXES, strict=True):
        sky[place] = flux
    return sky


def _bands(levels: tuple[float, ...] = (0.0, 0.0, 0.0)) -> list[BandImage]:
    rng, sky = np.random.default_rng(5), _sky()
    weights = np.full(sky.shape, NOISE**-2)
    return [
        BandImage(
            gain * beam_convolved(sky, beam) + rng.normal(level, NOISE, sky.shape),
            weights,
            beam,
            gain,
        )
        for beam, gain, level in zip(BEAMS, GAINS, levels, strict=True)
    ]


def test_fluxes_of_a_blend_that_no_band_resolves_come_back_where_they_are() -> None:
    found = joint_richardson_lucy(_bands(), iterations=100)
    image = beam_convolved(found.flux, 3.0)
    for (y, x), flux in zip(PLACES, FLUXES, strict=True):
        around = np.s_[y - 3 : y + 4, x - 3 : x + 4]
        assert found.flux[around].sum() == pytest.approx(flux, rel=0.15)
        peak = np.unravel_index(np.argmax(image[around]), (7, 7))
        assert np.hypot(peak[0] - 3, peak[1] - 3) < 1.5
    assert found.flux.min() >= 0
    assert found.flux.dtype == np.float32


def test_zero_points_of_the_images_do_not_matter() -> None:
    plain = joint_richardson_lucy(_bands(), iterations=20)
    moved = joint_richardson_lucy(_bands((-3.0, 40.0, 7.0)), iterations=20)
    np.testing.assert_allclose(moved.flux, plain.flux, atol=0.02)
    differences = np.subtract(moved.offsets, plain.offsets)
    np.testing.assert_allclose(differences, (-3, 40, 7), atol=0.05)


def test_unit_of_weights_does_not_matter() -> None:
    bands = _bands()
    scaled = [replace(band, weights=1e-9 * band.weights) for band in bands]
    plain = joint_richardson_lucy(bands, iterations=10).flux
    again = joint_richardson_lucy(scaled, iterations=10).flux
    np.testing.assert_allclose(again, plain, rtol=1e-3, atol=1e-4)


def test_pixels_of_no_weight_are_not_looked_at() -> None:
    broken = []
    for band in _bands():
        weights, data = band.weights.copy(), band.data.copy()
        weights[60:, 80:], data[60:, 80:] = 0, np.nan
        broken.append(replace(band, data=data, weights=weights))
    other = [replace(band, data=np.nan_to_num(band.data, nan=1e6)) for band in broken]
    found = joint_richardson_lucy(broken, iterations=20).flux
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, joint_richardson_lucy(other, iterations=20).flux)


def _misfit(bands: list[BandImage], iterations: int, *, accelerated: bool) -> float:
    """Return chi squared a pixel, off the borders, where what lies outside does not matter."""
    found = joint_richardson_lucy(bands, iterations=iterations, accelerated=accelerated)
    inner = np.s_[20:-20, 20:-20]
    left = [
        band.data - offset - band.gain * beam_convolved(found.flux, float(band.beam))
        for band, offset in zip(bands, found.offsets, strict=True)
    ]
    return sum(float(np.mean(image[inner] ** 2)) for image in left) / NOISE**2


def test_extrapolation_comes_nearer_to_the_data_and_stays_there() -> None:
    bands = _bands()
    fast = _misfit(bands, 30, accelerated=True)
    assert fast < _misfit(bands, 30, accelerated=False)
    late = _misfit(bands, 300, accelerated=True)
    assert late <= fast
    assert late < 3.2  # three images


def test_stamp_of_a_gaussian_is_as_good_as_its_width() -> None:
    y, x = np.mgrid[-30:31, -30:31]
    bands = _bands()
    stamps = [
        replace(band, beam=7 * np.exp(-4 * np.log(2) * (x**2 + y**2) / beam**2))
        for band, beam in zip(bands, BEAMS, strict=True)
    ]
    plain = joint_richardson_lucy(bands, iterations=10).flux
    again = joint_richardson_lucy(stamps, iterations=10).flux
    np.testing.assert_allclose(again, plain, rtol=0.01, atol=0.01)


def test_peak_of_a_point_source_is_its_flux() -> None:
    image = beam_convolved(_sky(), 3.0)
    assert image[20, 70] == pytest.approx(20.0, rel=1e-4)


def test_what_cannot_be_deconvolved_is_told() -> None:
    band = _bands()[0]
    with pytest.raises(FrameError, match="same pixels"):
        joint_richardson_lucy([band, replace(band, data=band.data[1:])])
    with pytest.raises(FrameError, match="image 0"):
        joint_richardson_lucy([replace(band, weights=0 * band.weights)])
    with pytest.raises(FrameError, match="0 iterations"):
        joint_richardson_lucy([band], iterations=0)
