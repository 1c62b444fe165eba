"""A stamp on finer samples is the image that the coarse one was sampled from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astroclean.core.psf.stamp import finer_stamp


def blob(y: np.ndarray, x: np.ndarray, fwhm: float) -> np.ndarray:
    """An elongated Gaussian, peak 1."""
    return np.exp(-4 * np.log(2) * (y**2 + 1.3 * x**2 + 0.3 * x * y) / fwhm**2)


def sampled(ny: int, nx: int, fwhm: float, factor: int = 1) -> np.ndarray:
    lines = [
        (np.arange(factor * (side - 1) + 1) / factor - side // 2)[:, None] for side in (ny, nx)
    ]
    return blob(lines[0], lines[1].T, fwhm)


@settings(deadline=None, max_examples=25)
@given(st.sampled_from([1, 2, 3, 4, 5]), st.floats(3.2, 4.5), st.sampled_from([21, 25, 31]))
def test_between_the_pixels_lies_what_was_sampled(factor: int, fwhm: float, side: int) -> None:
    fine = finer_stamp(sampled(side, side + 4, fwhm), factor)
    expected = sampled(side, side + 4, fwhm, factor)
    assert fine.shape == expected.shape == (factor * (side - 1) + 1, factor * (side + 3) + 1)
    np.testing.assert_allclose(fine, expected, atol=2e-3)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.sampled_from([1, 2, 3, 4]))
def test_pixels_of_any_stamp_stay(seed: int, factor: int) -> None:
    stamp = np.random.default_rng(seed).normal(size=(9, 13))
    before = stamp.copy()
    np.testing.assert_allclose(finer_stamp(stamp, factor)[::factor, ::factor], stamp, atol=1e-12)
    np.testing.assert_array_equal(stamp, before)


def test_axes_and_sums_are_treated_alike() -> None:
    stamp = sampled(21, 25, 3.0)
    fine = finer_stamp(stamp, 4)
    np.testing.assert_allclose(finer_stamp(stamp.T, 4), fine.T, atol=1e-12)
    np.testing.assert_allclose(finer_stamp(3 * stamp, 4), 3 * fine, atol=1e-12)
    # Brightness per pixel of the stamp: a finer sum of it has the same light.
    assert fine.sum() / 16 == pytest.approx(stamp.sum(), rel=1e-3)
