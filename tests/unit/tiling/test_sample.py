"""What is gathered of a frame does not depend on how its rows come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astroclean.tiling.sample import MomentsGatherer


def moments(data: np.ndarray, valid: np.ndarray, cuts: tuple[int, ...] = ()) -> tuple[float, float]:
    gatherer = MomentsGatherer()
    for start, stop in zip((0, *cuts), (*cuts, len(data)), strict=True):
        gatherer.add(data[start:stop], valid[start:stop])
    return gatherer.finish()


def sky(level: float = 100.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    data = rng.normal(level, 5, (37, 53)).astype(np.float32)
    valid = rng.uniform(size=data.shape) > 0.2
    valid[11] = False
    data[~valid] = np.nan
    return data, valid


@given(cuts=st.lists(st.integers(0, 37), max_size=6).map(sorted).map(tuple))
def test_mean_and_deviation_are_the_same_for_any_bands(cuts: tuple[int, ...]) -> None:
    data, valid = sky()
    assert moments(data, valid, cuts) == moments(data, valid)


@pytest.mark.parametrize("level", [0.0, 100.0, 1e6])
def test_mean_and_deviation_of_a_high_sky_keep_their_digits(level: float) -> None:
    data, valid = sky(level)
    inside = data[valid].astype(np.float64)
    mean, deviation = moments(data, valid)
    assert mean == pytest.approx(inside.mean(), rel=1e-13, abs=1e-12)
    assert deviation == pytest.approx(inside.std(), rel=1e-12)


def test_nothing_valid_has_no_moments() -> None:
    data, valid = sky()
    assert moments(data, np.zeros_like(valid)) == (0.0, 0.0)
