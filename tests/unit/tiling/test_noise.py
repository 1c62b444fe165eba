"""`SkyNoiseGatherer`: the scatter of the sky, whatever lies in front of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from astroclean.tiling.noise import SkyNoise, SkyNoiseGatherer


def measured(
    image: np.ndarray,
    variance: float | None = None,
    valid: np.ndarray | None = None,
    step: int | None = None,
) -> SkyNoise:
    data = image.astype(np.float32)
    valid = np.ones(data.shape, dtype=bool) if valid is None else valid
    planes = None if variance is None else np.full(data.shape, variance, dtype=np.float32)
    gatherer = SkyNoiseGatherer(data.shape)
    for start in range(0, len(data), step or len(data)):
        rows = slice(start, start + (step or len(data)))
        gatherer.add(data[rows], valid[rows], None if planes is None else planes[rows])
    return gatherer.finish()


def white(shape: tuple[int, int] = (512, 512), sigma: float = 7.0) -> np.ndarray:
    return np.random.default_rng(1).normal(1000, sigma, shape)


@pytest.mark.parametrize("shape", [(256, 256), (300, 1000), (3000, 900)])
def test_white_noise_is_measured(shape: tuple[int, int]) -> None:
    sky = measured(white(shape), variance=49.0)
    assert sky.measured == pytest.approx(7, rel=0.03)
    assert sky.predicted == pytest.approx(7)
    assert sky.level == pytest.approx(1000, rel=0.01)
    assert sky.correlation < 0.1
    assert not sky.exceeds_prediction
    assert not sky.falls_short_of_prediction


@pytest.mark.parametrize(
    "front",
    [
        lambda y, x: 3.0 * y + 2.0 * x,  # a gradient
        lambda y, x: 5000 * np.exp(-((y - 250) ** 2 + (x - 250) ** 2) / 2e4),  # a galaxy
        lambda y, x: 8000.0 * ((y % 23 < 2) & (x % 19 < 2)),  # hits: 1 % of the pixels
        lambda y, x: 300.0 * (x // 64 % 2) + 0 * y,  # amplifiers
    ],
)
def test_what_lies_in_front_of_the_sky_does_not_count(front: object) -> None:
    y, x = np.mgrid[:512, :512]
    assert measured(white() + front(y, x)).measured == pytest.approx(7, rel=0.15)


@pytest.mark.parametrize("step", [1, 7, 16, 100, 511])
def test_bands_of_any_height_give_the_same(step: int) -> None:
    image = white((512, 130))
    valid = np.random.default_rng(2).random(image.shape) > 0.1
    assert measured(image, 30.0, valid, step) == measured(image, 30.0, valid)


def test_contradictions_are_seen_from_a_factor_of_two() -> None:
    assert measured(white(), variance=(7 / 2.2) ** 2).exceeds_prediction
    assert measured(white(), variance=(7 * 2.2) ** 2).falls_short_of_prediction
    for factor in (0.6, 1.7):
        sky = measured(white(), variance=(7 * factor) ** 2)
        assert not sky.exceeds_prediction
        assert not sky.falls_short_of_prediction


def test_noise_that_neighbors_share_is_told() -> None:
    assert measured(uniform_filter(white(), 2)).correlation > 0.4
    assert measured(uniform_filter(white(), 3)).correlation > 0.6


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((200, 200)),
        np.full((200, 200), 3.3),
        np.clip(np.random.default_rng(3).normal(-30, 8, (200, 200)), 0, 255),
        np.random.default_rng(3).poisson(0.02, (200, 200)),
    ],
)
def test_clipped_and_empty_skies_have_no_noise(image: np.ndarray) -> None:
    sky = measured(image, variance=4.0)
    assert sky.measured == 0
    assert sky.constant > 0.5
    assert not sky.has_empty_zeros
    assert sky.falls_short_of_prediction


def test_coarse_digits_are_noise_all_the_same() -> None:
    generator = np.random.default_rng(4)
    coarse = np.round(generator.normal(100.3, 0.5, (300, 300)))
    assert measured(coarse).measured == pytest.approx(coarse.std(), rel=0.25)


def test_borders_of_zeros_are_no_sky_even_where_they_are_most_of_the_frame() -> None:
    image = white()
    image[:, :300] = 0
    sky = measured(image, variance=49.0)
    assert sky.has_empty_zeros
    assert sky.constant < 0.1
    assert sky.measured == pytest.approx(7, rel=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (20, 20)])
def test_tiny_frames_contradict_nothing(shape: tuple[int, int]) -> None:
    sky = measured(white(shape), variance=1e-6)
    assert not sky.exceeds_prediction


def test_a_frame_without_usable_pixels_tells_nothing() -> None:
    sky = measured(white((64, 64)), 4.0, np.zeros((64, 64), dtype=bool))
    assert sky.cells == 0
    assert sky.ratio == 1
