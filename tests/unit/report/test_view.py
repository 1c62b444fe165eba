"""Numbers, durations and axes as the page spells them."""

from __future__ import annotations

import re

import pytest

from astroclean.report.model import Histogram
from astroclean.report.view import FILTERS, FUNCTIONS, number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (0.0, "0"),
        (1234567.0, "1,234,567"),
        (-12.0, "-12"),
        (0.0123456, "0.01235"),
        (0.99999, "1.000"),
        (3.14159, "3.142"),
        (123456.7, "123,457"),
        (1.5e-7, "1.500e-07"),
        (139_200_123.5, "139,200,124"),
        (2.5e12 + 0.5, "2.500e+12"),
        (float("nan"), "NaN"),
        (float("inf"), "∞"),
    ],
)
def test_numbers_have_four_digits_or_thousands(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ms"),
        (0.9996, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (3599.7, "1 h 00 min"),
        (7500.0, "2 h 05 min"),
    ],
)
def test_durations_never_round_to_a_full_unit(seconds: float, text: str) -> None:
    assert FILTERS["duration"](seconds) == text


def test_axis_of_the_histogram_spans_the_bins() -> None:
    edges = [100.0 + 2.5 * i for i in range(65)]
    counts = [0, 1, 10, 100, *[1000] * 60]
    plot = FUNCTIONS["plot_of"](Histogram(edges=edges, before=counts, after=counts))
    x0, y0, x1, y1 = plot["box"]
    points = [tuple(map(float, p.split())) for p in re.split("[ML]", plot["before"])[1:]]
    assert [p[0] for p in points] == sorted(p[0] for p in points)
    assert points[0] == pytest.approx((x0, y1))
    assert points[-1] == pytest.approx((x1, y1))
    heights = [y for _, y in points[1::2]]
    # Equal factors are equal steps: the axis is logarithmic.
    assert heights[1] - heights[2] == pytest.approx(heights[2] - heights[3], abs=0.2)
    assert min(heights) >= y0
    values = [float(label.replace(",", "")) for _, label in plot["x_ticks"]]
    assert edges[0] <= min(values)
    assert max(values) <= edges[-1]
    assert 3 <= len(values) <= 7


@pytest.mark.parametrize("edges", [[0.0, 1e-9], [1e9, 1e9 + 1], [-3e38, 3e38], [-0.5, 0.5]])
def test_odd_axes_have_ticks_within(edges: list[float]) -> None:
    plot = FUNCTIONS["plot_of"](Histogram(edges=edges, before=[0], after=[0]))
    x0, _, x1, _ = plot["box"]
    assert plot["x_ticks"]
    assert all(x0 - 0.01 <= x <= x1 + 0.01 for x, _ in plot["x_ticks"])
