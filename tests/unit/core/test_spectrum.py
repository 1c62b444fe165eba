"""The power spectrum against waves, white noise, the theorem of Parseval and the whole plane."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astroclean.core.spectrum import power_spectrum

SIDES = st.integers(2, 24)


def test_power_of_a_wave_is_at_its_frequency() -> None:
    x = np.arange(64)
    image = np.broadcast_to(np.sin(2 * np.pi * 8 * x / 64), (64, 64))
    frequency, power = power_spectrum(image)
    assert frequency[np.argmax(power)] == 8 / 64
    assert frequency[-1] == 0.5


def test_white_noise_has_a_flat_spectrum() -> None:
    image = np.random.default_rng(4).normal(size=(256, 256))
    _, power = power_spectrum(image)
    low, high = power[5:60].mean(), power[70:125].mean()
    assert low / high == pytest.approx(1, abs=0.1)


def test_mean_power_of_white_noise_is_its_variance_in_the_window() -> None:
    image = np.random.default_rng(5).normal(300, 4, size=(256, 256)).astype(np.float32)
    window = np.hanning(258)[1:-1]
    expected = 16 * (window**2).sum() ** 2
    assert power_spectrum(image)[1][3:].mean() == pytest.approx(expected, rel=0.02)


@given(SIDES, SIDES, st.integers(0, 50))
def test_rings_are_means_over_the_whole_plane(ny: int, nx: int, seed: int) -> None:
    image = np.random.default_rng(seed).normal(7, 2, (ny, nx))
    window = np.outer(np.hanning(ny + 2)[1:-1], np.hanning(nx + 2)[1:-1])
    rows, columns = (
        np.exp(-2j * np.pi * np.outer(np.arange(ny), np.arange(ny)) / ny),
        np.exp(-2j * np.pi * np.outer(np.arange(nx), np.arange(nx)) / nx),
    )
    plane = np.abs(rows @ ((image - image.mean()) * window) @ columns) ** 2
    radius = np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.fftfreq(nx))
    side = min(ny, nx)
    frequency, power = power_spectrum(image)
    assert frequency == pytest.approx(np.arange(1, side // 2 + 1) / side)
    for f, found in zip(frequency, power, strict=True):
        ring = np.rint(radius * side) == round(f * side)
        assert found == pytest.approx(plane[ring].mean(), rel=1e-9)
