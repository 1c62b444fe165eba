"""What a step draws depends on its number alone, and what was made is used again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numbered_samples import Numbered

from astroclean.training.samples import SampleStream, StreamPlan

if TYPE_CHECKING:
    from pathlib import Path


PLAN = StreamPlan(first=4, fresh=0.5, keep=6)


def drawn(stream: SampleStream, steps: range) -> list[list[int]]:
    found = []
    for step in steps:
        numbers = np.random.default_rng(step).random(5)
        samples = stream.draw(step, numbers)
        assert all((s["value"] == s["value"][0, 0]).all() for s in samples)
        assert all(s["label"] == s["value"][0, 0] % 2 for s in samples)
        found.append([int(s["value"][0, 0]) for s in samples])
    return found


def test_draws_are_the_same_after_an_interruption_and_nothing_is_made_twice(tmp_path: Path) -> None:
    make = Numbered(str(tmp_path))
    whole = SampleStream(make, tmp_path / "whole", plan=PLAN, workers=2)
    expected = drawn(whole, range(1, 21))
    whole.close()
    for step, numbers in enumerate(expected, 1):
        low, high = PLAN.window(step)
        assert all(low <= number < high for number in numbers)
    (tmp_path / "made.txt").unlink()
    for steps in (range(1, 9), range(9, 21)):
        part = SampleStream(make, tmp_path / "parts", plan=PLAN, workers=1)
        assert drawn(part, steps) == expected[steps.start - 1 : steps.stop - 1]
        part.close()
    made = [int(line) for line in (tmp_path / "made.txt").read_text("ascii").split()]
    low, high = PLAN.window(8)
    # What was ordered ahead when the first part ended may be made again; no other.
    again = {number for number in made if made.count(number) > 1}
    assert all(number >= high for number in again)


@given(
    first=st.integers(1, 50),
    fresh=st.floats(0, 5, allow_nan=False),
    more=st.integers(0, 50),
    step=st.integers(1, 10_000),
)
def test_a_window_is_never_empty_and_only_moves_forward(
    first: int, fresh: float, more: int, step: int
) -> None:
    plan = StreamPlan(first, fresh, first + more)
    low, high = plan.window(step)
    later = plan.window(step + 1)
    assert 0 <= low < high
    assert high - low <= plan.keep
    assert later[0] >= low
    assert later[1] >= high
    assert plan.window(1) == (0, first)
