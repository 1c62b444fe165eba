"""What the screening network sees of a tile: a star, whatever the seeing, the field, the turn."""

from __future__ import annotations

import numpy as np
import pytest
from astroclean_maximask.average_star import CHANNELS, SIDE, average_star
from astroclean_maximask.star_choice import choose_stars, find_peaks, without_points
from hypothesis import given, settings
from hypothesis import strategies as st

NEAR, WIDTH, STARS, ANGLE = 1, 8, 9, slice(11, 13)
"""Channels: the median star on the near grid, and numbers."""


def tile(
    *,
    seed: int = 1,
    stars: int = 40,
    smear: tuple[float, float] = (0, 0),
    fwhm: float = 3.5,
    flux: tuple[float, float] = (300, 30000),
) -> np.ndarray:
    """Gaussian stars smeared along a line, in noise of 1."""
    rng = np.random.default_rng(seed)
    image = np.zeros((256, 256))
    sigma = fwhm / 2.355
    half = int(4 * sigma + max(map(abs, smear)) / 2 + 2)
    for cy, cx, part in rng.uniform((0, 0, 1e-3), (256, 256, 1), (stars, 3)):
        # Twice as bright, half as many.
        light = min(flux[0] / part, flux[1])
        rows = slice(max(int(cy) - half, 0), int(cy) + half)
        columns = slice(max(int(cx) - half, 0), int(cx) + half)
        y, x = np.mgrid[:256, :256][:, rows, columns]
        for time in np.linspace(-0.5, 0.5, 9):
            dy, dx = y - cy - time * smear[0], x - cx - time * smear[1]
            star = np.exp(-(dy**2 + dx**2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)
            image[rows, columns] += light / 9 * star
    return (image + rng.normal(size=image.shape)).astype(np.float32)


def width_of(seen: np.ndarray) -> float:
    return float(4 * np.exp(seen[WIDTH, 0, 0]))


def lengths(seen: np.ndarray) -> tuple[int, int]:
    """Steps from the middle at which the folded star falls below half, along and across."""
    half = np.arcsinh(5.0) / np.arcsinh(10.0) * seen[NEAR, 0, 0]
    return int((seen[NEAR, 0] > half).sum()), int((seen[NEAR, :, 0] > half).sum())


@pytest.mark.parametrize("angle", [0, 30, 60, 90, 135])
def test_a_smear_of_any_direction_lies_along_x_and_its_direction_is_told(angle: int) -> None:
    turn = np.deg2rad(angle)
    seen = average_star(tile(smear=(6 * np.sin(turn), 6 * np.cos(turn))))
    along, across = lengths(seen)
    assert along >= 1.4 * across
    np.testing.assert_allclose(seen[ANGLE, 0, 0], [np.cos(2 * turn), np.sin(2 * turn)], atol=0.15)
    # The width is that across the smear.
    assert width_of(seen) == pytest.approx(3.5, rel=0.1)


@pytest.mark.parametrize("fwhm", [2.0, 3.0, 5.0, 7.0, 9.0])
def test_seeing_makes_no_difference_but_to_the_width_told(fwhm: float) -> None:
    light = (30 * fwhm**2, 3000 * fwhm**2)
    seen = average_star(tile(fwhm=fwhm, flux=light))
    assert width_of(seen) == pytest.approx(fwhm, rel=0.1)
    assert lengths(seen) == pytest.approx((4, 4), abs=1)


@pytest.mark.parametrize("stars", [5, 40, 400, 3000])
def test_the_width_is_found_in_any_field(stars: int) -> None:
    seen = average_star(tile(stars=stars))
    assert seen.shape == (CHANNELS, SIDE, SIDE)
    assert seen.dtype == np.float32
    assert width_of(seen) == pytest.approx(3.5, rel=0.1)


def with_hits(image: np.ndarray, count: int) -> np.ndarray:
    """Add tracks of one pixel's width and points, three times as many as the stars are."""
    rng = np.random.default_rng(8)
    image = image.copy()
    for y, x, angle in rng.uniform((5, 5, 0), (250, 250, np.pi), (count, 3)):
        length = int(rng.integers(1, 12))
        rows = np.clip(y + np.arange(length) * np.sin(angle), 0, 255).astype(int)
        columns = np.clip(x + np.arange(length) * np.cos(angle), 0, 255).astype(int)
        image[rows, columns] += rng.uniform(50, 500)
    return image


def test_hits_are_no_stars() -> None:
    seen = average_star(with_hits(tile(stars=20), 60))
    assert width_of(seen) == pytest.approx(3.5, rel=0.15)


def test_galaxies_and_saturated_stars_are_left_out() -> None:
    image = tile(stars=20)
    y, x = np.mgrid[:256, :256]
    rng = np.random.default_rng(3)
    galaxies = rng.uniform((20, 20, 6, 3), (236, 236, 14, 6), (10, 4))
    for cy, cx, long, short in galaxies:
        image += 300 * np.exp(-(((y - cy) / short) ** 2 + ((x - cx) / long) ** 2) / 2)
    image += 1e5 * np.exp(-((y - 128) ** 2 + (x - 40) ** 2) / (2 * 1.5**2))
    image = np.minimum(image, 2e4).astype(np.float32)
    calm = without_points(image)
    chosen = choose_stars(find_peaks(calm), calm)
    for cy, cx in [*galaxies[:, :2], (128, 40)]:
        assert np.hypot(chosen.y - cy, chosen.x - cx).min() > 1.5
    assert width_of(average_star(image)) == pytest.approx(3.5, rel=0.15)


def test_more_light_changes_little() -> None:
    """Brightness tells nothing of the guiding."""
    faint, bright = (average_star(tile(flux=(700 * f, 7000 * f))) for f in (1, 10))
    assert np.abs(faint - bright)[NEAR, :6, :6].max() < 0.1


@given(seed=st.integers(0, 999), turn=st.integers(0, 3), mirrored=st.booleans())
@settings(max_examples=10, deadline=None)
def test_of_a_turned_or_mirrored_tile_only_the_angle_differs(
    seed: int, turn: int, mirrored: bool
) -> None:
    image = tile(seed=seed, smear=(2, 5))
    flipped = image[:, ::-1] if mirrored else image
    other = average_star(np.ascontiguousarray(np.rot90(flipped, turn)))
    seen = average_star(image)
    np.testing.assert_allclose(other[:11], seen[:11], atol=0.02)
    signs = np.array([1 - 2 * (turn % 2), (1 - 2 * (turn % 2)) * (1 - 2 * mirrored)])
    np.testing.assert_allclose(other[ANGLE, 0, 0], signs * seen[ANGLE, 0, 0], atol=0.02)


@pytest.mark.parametrize("value", [0.0, 1e4, -3.0])
def test_a_tile_without_stars_is_finite(value: float) -> None:
    seen = average_star(np.full((100, 140), value, np.float32))
    assert np.isfinite(seen).all()
    assert seen[STARS, 0, 0] == 0
    assert np.abs(seen).max() <= 3
