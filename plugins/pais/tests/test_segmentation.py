"""Labels by the largest model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from astroclean_pais.segmentation import segmentation_of

SHAPE = (50, 60)
ONE = np.ones(SHAPE)


def bright(profile: Any, number: int, x: float, y: float, flux: float) -> Any:
    one = profile(number, x, y)
    return replace(one, data=flux * one.data)


@pytest.mark.parametrize("k", [0.5, 1.0, 3.0])
def test_a_pixel_belongs_to_the_largest_model_where_all_exceed_the_noise(
    profile: Any, k: float
) -> None:
    rng = np.random.default_rng(1)
    models = [
        bright(profile, 2 * i + 3, rng.uniform(0, 59), rng.uniform(0, 49), rng.uniform(200, 900))
        for i in range(12)
    ]
    noise = rng.uniform(0.5, 2, SHAPE)
    cube = np.zeros((12, *SHAPE))
    for image, model in zip(cube, models, strict=True):
        model.add_to(image)
    ids = np.array([model.id for model in models])
    expected = np.where(cube.sum(axis=0) > k * noise, ids[cube.argmax(axis=0)], 0)
    labels = segmentation_of(models, noise, ONE > 0, k=k)
    assert labels.dtype == np.int32
    for image, number in zip(cube, ids, strict=True):
        expected[np.unravel_index(image.argmax(), SHAPE)] = number
    np.testing.assert_array_equal(labels, expected)


def test_each_source_has_a_pixel_of_its_own(profile: Any) -> None:
    """Below the noise, under a bright one, and two at one place."""
    models = [
        bright(profile, 1, 10, 10, 1e-3),
        bright(profile, 2, 30, 30, 5000),
        bright(profile, 3, 31.2, 30, 20),
        bright(profile, 4, 30, 30, 10),
    ]
    labels = segmentation_of(models, ONE, ONE > 0)
    assert np.argwhere(labels == 1).tolist() == [[10, 10]]
    assert labels[30, 30] == 2
    assert labels[30, 31] == 3
    assert np.count_nonzero(labels == 4) == 1
    assert np.hypot(*(np.argwhere(labels == 4)[0] - 30)) == 1


def test_pixels_that_are_not_usable_are_nobodys_center(profile: Any) -> None:
    models = [bright(profile, 1, 10, 10, 1.0), bright(profile, 2, 40, 30, 1.0)]
    usable = ONE > 0
    usable[10, 10] = False
    usable[models[1].slices()] = False
    labels = segmentation_of(models, ONE, usable)
    assert labels[10, 10] == 0
    assert np.count_nonzero(labels == 1) == 1
    assert not (labels == 2).any()


def test_where_the_noise_is_not_known_no_pixel_is_lit(profile: Any) -> None:
    noise = np.where(np.indices(SHAPE)[1] < 10, np.nan, 1.0)
    labels = segmentation_of([bright(profile, 7, 10, 25, 5000)], noise, ONE > 0)
    assert not labels[:, :10].any()
    assert labels[25, 10] == 7
    assert not segmentation_of([], ONE, ONE > 0).any()
