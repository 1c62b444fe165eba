"""What the screening network sees of a tile."""

from __future__ import annotations

import numpy as np
import pytest
from astroclean_maximask.track.average_star import SIDE, average_star
from hypothesis import given, settings
from hypothesis import strategies as st

MIDDLE = SIDE // 2


def tile(*, seed: int = 1, stars: int = 40, smear: tuple[float, float] = (0, 0)) -> np.ndarray:
    """Stars of an FWHM of 3.5 pixels, smeared along a line, in noise of 1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:256, :256]
    image = np.zeros((256, 256))
    for cy, cx, flux in rng.uniform((0, 0, 30), (256, 256, 300), (stars, 3)):
        for part in np.linspace(-0.5, 0.5, 9):
            dy, dx = y - cy - part * smear[0], x - cx - part * smear[1]
            image += flux / 9 * np.exp(-(dy**2 + dx**2) / (2 * 1.5**2))
    return (image + rng.normal(size=image.shape)).astype(np.float32)


def moments(channel: np.ndarray) -> tuple[float, float, float]:
    """Second moments of the middle: along y, along x, mixed."""
    part = np.clip(channel[MIDDLE - 10 : MIDDLE + 11, MIDDLE - 10 : MIDDLE + 11] - 0.1, 0, None)
    y, x = np.mgrid[-10:11, -10:11]
    return tuple(float((part * w).sum() / part.sum()) for w in (y * y, x * x, x * y))


@pytest.mark.parametrize("channel", [0, 1])
def test_a_smear_is_seen_in_its_direction(channel: int) -> None:
    round_, along_x, along_y = (
        moments(average_star(tile(smear=smear))[channel]) for smear in ((0, 0), (0, 7), (7, 0))
    )
    assert abs(round_[0] - round_[1]) < 0.3
    assert along_x[1] > 1.4 * along_x[0]
    assert along_y[0] > 1.4 * along_y[1]


@pytest.mark.slow
@pytest.mark.parametrize("stars", [3, 40, 1500])
def test_each_is_one_in_its_middle_in_any_field(stars: int) -> None:
    seen = average_star(tile(stars=stars))
    assert seen.shape == (2, SIDE, SIDE)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen[:, MIDDLE, MIDDLE], 1, atol=0.35)
    assert np.abs(seen[:, :5]).mean() < 0.2


def test_more_light_changes_little() -> None:
    """Brightness tells nothing of the guiding."""
    faint, bright = (average_star(tile() * factor) for factor in (1, 4))
    assert np.abs(faint - bright)[:, MIDDLE - 4 : MIDDLE + 5, MIDDLE - 4 : MIDDLE + 5].max() < 0.3


@pytest.mark.slow
@given(seed=st.integers(0, 999), turn=st.integers(0, 3), mirrored=st.booleans())
@settings(max_examples=10, deadline=None)
def test_a_turned_tile_has_a_turned_star(seed: int, turn: int, mirrored: bool) -> None:
    image = tile(seed=seed, smear=(2, 5))

    def turned(values: np.ndarray) -> np.ndarray:
        flipped = values[..., ::-1] if mirrored else values
        return np.ascontiguousarray(np.rot90(flipped, turn, axes=(-2, -1)))

    np.testing.assert_allclose(average_star(turned(image)), turned(average_star(image)), atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 1e4, -3.0])
def test_a_tile_without_stars_is_finite(value: float) -> None:
    seen = average_star(np.full((100, 140), value, np.float32))
    assert np.isfinite(seen).all()
    assert np.abs(seen).max() <= 2
