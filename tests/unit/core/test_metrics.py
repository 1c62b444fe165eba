"""Metrics of chunks join to those of the frame, to the last digit."""

from __future__ import annotations

import itertools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astroclean.core.stage.metrics import Share, Total, joined_metrics

CUTS = st.lists(st.integers(0, 40), max_size=6).map(lambda cuts: [0, *sorted(cuts), 40])


@given(seed=st.integers(0, 1000), cuts=CUTS)
def test_a_total_does_not_depend_on_how_the_rows_were_shared(seed: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    image = (rng.normal(0, 1, (40, 33)) * 10.0 ** rng.integers(-20, 20, (40, 1))).astype("f4")
    whole = Total.from_pixels(image)
    parts = [{"sum": Total.from_pixels(image[a:b])} for a, b in itertools.pairwise(cuts)]
    assert joined_metrics(parts) == {"sum": whole}
    assert float(whole) == pytest.approx(math.fsum(image.astype(float).ravel()), rel=1e-9)


@given(parts=st.lists(st.tuples(st.integers(0, 9), st.integers(9, 99)), min_size=1))
def test_shares_are_of_all_pixels(parts: list[tuple[int, int]]) -> None:
    joined = joined_metrics({"part": Share(*part)} for part in parts)["part"]
    assert joined == sum(n for n, _ in parts) / sum(n for _, n in parts)


def test_what_is_of_the_frame_is_told_once_and_what_differs_is_left_out() -> None:
    parts = [{"level": 5.0, "nan": math.nan, "tiles": 1.0}, {"level": 5.0, "nan": math.nan}]
    joined = joined_metrics([*parts, {"tiles": 2.0, "pixels CR": Total(3)}])
    assert set(joined) == {"level", "nan", "pixels CR"}
    assert joined["pixels CR"] == 3


def test_a_sum_that_is_no_number_stays_none() -> None:
    lost = Total.from_pixels(np.array([[1.0, np.nan]]))
    assert math.isnan(lost)
    assert math.isnan(lost.joined(Total(3)))
    assert math.isinf(Total.from_pixels(np.array([[1.0, np.inf]])))


def test_they_go_to_another_process() -> None:
    total = Total.from_pixels(np.full((3, 3), 0.1))
    assert pickle.loads(pickle.dumps(total)).exact == total.exact  # noqa: S301 - our own
    share = pickle.loads(pickle.dumps(Share(1, 3)))  # noqa: S301 - our own
    assert (share.count, share.total) == (1, 3)
