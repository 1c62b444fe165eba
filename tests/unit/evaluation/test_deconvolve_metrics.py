"""PSNR, SSIM, moments and PSF leak against scikit-image, loops and analytic truths."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio

from astroclean.evaluation.metrics.deconvolve import psf_leak, psnr, shape_of, ssim


def gaussian(
    *, center: tuple[float, float], sigmas: tuple[float, float], angle: float = 0.0
) -> Any:
    """Sampled elliptical Gaussian on 81 x 81 pixels."""
    yy, xx = np.mgrid[:81, :81].astype(float)
    dx, dy = xx - center[0], yy - center[1]
    along = dx * np.cos(angle) + dy * np.sin(angle)
    across = -dx * np.sin(angle) + dy * np.cos(angle)
    return np.exp(-0.5 * ((along / sigmas[0]) ** 2 + (across / sigmas[1]) ** 2))


@given(st.integers(0, 100), st.floats(0.01, 10), st.floats(1, 1000))
def test_psnr_is_its_formula_and_that_of_scikit_image(seed: int, error: float, peak: float) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, peak, (9, 7))
    assert psnr(truth + error, truth, peak=peak) == pytest.approx(20 * math.log10(peak / error))
    image = truth + rng.normal(0, error, truth.shape)
    expected = peak_signal_noise_ratio(truth, image, data_range=np.ptp(truth))
    assert psnr(image, truth) == pytest.approx(expected)
    assert psnr(5 * image + 3, 5 * truth + 3) == pytest.approx(psnr(image, truth))


def test_psnr_at_its_ends() -> None:
    truth = np.arange(6.0).reshape(2, 3)
    assert psnr(truth, truth) == math.inf
    assert math.isnan(psnr(np.full((2, 3), np.nan), truth))
    assert math.isnan(psnr(truth, np.ones((2, 3))))
    holed = truth.copy()
    holed[0, 0] = np.nan
    assert psnr(holed, truth) == math.inf


def ssim_by_loop(a: Any, b: Any, peak: float) -> float:
    """Wang et al. 2004 with a truncated Gaussian window, where it lies inside."""
    offsets = np.arange(-3, 4)
    line = np.exp(-0.5 * (offsets / 1.5) ** 2)
    window = np.outer(line, line) / line.sum() ** 2
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    values = []
    for y in range(3, a.shape[0] - 3):
        for x in range(3, a.shape[1] - 3):
            p, q = a[y - 3 : y + 4, x - 3 : x + 4], b[y - 3 : y + 4, x - 3 : x + 4]
            mp, mq = np.sum(window * p), np.sum(window * q)
            vp, vq = np.sum(window * p * p) - mp**2, np.sum(window * q * q) - mq**2
            cov = np.sum(window * p * q) - mp * mq
            above = (2 * mp * mq + c1) * (2 * cov + c2)
            values.append(above / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return float(np.mean(values))


def test_ssim_is_near_the_formula_written_out() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(40, 44)).cumsum(0).cumsum(1)
    image = truth + rng.normal(0, 3, truth.shape)
    expected = ssim_by_loop(image, truth, float(np.ptp(truth)))
    # scikit-image cuts its window at 3.5 standard deviations, the loop at 2.
    assert ssim(image, truth) == pytest.approx(expected, abs=0.01)


def test_ssim_of_equal_and_of_unusable_images() -> None:
    truth = np.random.default_rng(2).random((20, 20))
    assert ssim(truth, truth) == pytest.approx(1)
    assert ssim(1 - truth, truth) < 0.1
    assert math.isnan(ssim(truth[:5], truth[:5]))
    assert math.isnan(ssim(truth, np.ones((20, 20))))
    holed = truth.copy()
    holed[3, 3] = np.nan
    assert ssim(holed, truth) == pytest.approx(1)


@given(
    st.floats(1.5, 5),
    st.floats(1.5, 5),
    st.floats(0, math.pi),
    st.floats(-0.5, 0.5),
    st.floats(3.0, 8.0),
)
def test_moments_of_a_gaussian_are_exact(
    a: float, b: float, angle: float, shift: float, radius: float
) -> None:
    image = gaussian(center=(40 + shift, 40 - shift), sigmas=(a, b), angle=angle)
    shape = shape_of(image, center=(40, 40), radius=radius)
    assert shape.size == pytest.approx(math.sqrt((a**2 + b**2) / 2), rel=2e-3)
    ellipticity = (a**2 - b**2) / (a**2 + b**2)
    assert shape.e1 == pytest.approx(ellipticity * math.cos(2 * angle), abs=2e-3)
    assert shape.e2 == pytest.approx(ellipticity * math.sin(2 * angle), abs=2e-3)


def test_what_is_no_source_has_no_shape() -> None:
    for image in (np.zeros((20, 20)), -np.ones((20, 20)), np.ones((81, 81))):
        shape = shape_of(image, center=(10.0, 10.0), radius=3.0)
        assert math.isnan(shape.size) or shape.size > 10
    far = gaussian(center=(70, 70), sigmas=(2, 2))
    assert math.isnan(shape_of(far, center=(20, 20), radius=3.0).size)


@given(st.floats(-1, 1), st.integers(0, 50))
def test_psf_leak_is_the_slope(alpha: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    psf = rng.normal(0, 0.1, 30) + 1j * rng.normal(0, 0.1, 30)
    assert psf_leak(alpha * psf + (0.02 - 0.01j), psf) == pytest.approx(alpha, abs=1e-9)


def test_psf_leak_needs_a_psf_that_varies() -> None:
    assert math.isnan(psf_leak([0.1, 0.2, 0.3], [0.05, 0.05, 0.05]))
    assert math.isnan(psf_leak([0.1, 0.2], [0.05, 0.1]))
    assert psf_leak([0.0, 0.1, complex(np.nan), 0.2], [0.0, 0.1, 0.3, 0.2]) == pytest.approx(1)
