"""Numbers, durations and axes as the page spells them."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import pytest

from astroclean.report.picture_records import Histogram, Spectrum
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
    values = [float(label.replace(",", "")) for _, label, _ in plot["x_ticks"] if label]
    assert edges[0] <= min(values)
    assert max(values) <= edges[-1]
    assert 3 <= len(values) <= 7


@pytest.mark.parametrize("edges", [[0.0, 1e-9], [1e9, 1e9 + 1], [-3e38, 3e38], [-0.5, 0.5]])
def test_odd_axes_have_ticks_within(edges: list[float]) -> None:
    plot = FUNCTIONS["plot_of"](Histogram(edges=edges, before=[0], after=[0]))
    x0, _, x1, _ = plot["box"]
    assert plot["x_ticks"]
    assert all(x0 - 0.01 <= x <= x1 + 0.01 for x, _, _ in plot["x_ticks"])


def drawn(frequency: list[float], before: list[float], after: list[float]) -> dict[str, Any]:
    spectrum = Spectrum(frequency=frequency, before=before, after=after)
    plot: dict[str, Any] = FUNCTIONS["spectrum_of"](spectrum)
    return plot


def points(path: str) -> list[tuple[float, float]]:
    pairs = (point.split() for point in re.split("[ML]", path)[1:])
    return [(float(x), float(y)) for x, y in pairs]


def test_power_law_is_a_straight_line() -> None:
    frequency = [0.5 * 0.9**n for n in range(40)][::-1]
    law = [1e3 * f**-2.7 for f in frequency]
    plot = drawn(frequency, law, [p / 10 for p in law])
    x0, y0, x1, y1 = plot["box"]
    before, after = points(plot["before"]), points(plot["after"])
    assert before[0][0] == pytest.approx(x0)
    assert before[-1][0] == pytest.approx(x1)
    slope = (before[-1][1] - before[0][1]) / (x1 - x0)
    for x, y in before:
        assert y == pytest.approx(before[0][1] + slope * (x - x0), abs=0.2)
        assert y0 <= y <= y1
    decade = plot["y_ticks"][0][0] - plot["y_ticks"][1][0]
    steps = round(math.log10(spelled(plot["y_ticks"][1][1]) / spelled(plot["y_ticks"][0][1])))
    assert after[3][1] - before[3][1] == pytest.approx(decade / steps, abs=0.2)


def spelled(label: str) -> float:
    """Value of a label such as 0.1 or 10 with a superscript."""
    digits = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
    raised = re.fullmatch("10([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)", label)
    return 10.0 ** int(raised[1].translate(digits)) if raised else float(label)


@pytest.mark.parametrize("side", [4, 8, 32, 100, 512, 4096])
@pytest.mark.parametrize("scale", [1e-38, 1.0, 3e20])
@pytest.mark.parametrize("fall", [0.0, 1.0, 9.0])
def test_axes_of_a_spectrum_have_ticks_within(side: int, scale: float, fall: float) -> None:
    frequency = [n / side for n in range(1, side // 2 + 1)]
    plot = drawn(frequency, [scale * f**-fall for f in frequency], [0.0] * len(frequency))
    x0, y0, x1, y1 = plot["box"]
    assert plot["x_ticks"][-1][:2] == (pytest.approx(x1), "0.5")
    assert all(x0 - 0.01 <= x <= x1 + 0.01 for x, _, _ in plot["x_ticks"])
    assert all(y0 - 0.01 <= y <= y1 + 0.01 for y, _ in plot["y_ticks"])
    assert 2 <= len(plot["y_ticks"]) <= 7
    assert all(y0 <= y <= y1 + 0.05 for _, y in points(plot["before"]) + points(plot["after"]))
    values = [spelled(label) for _, label in plot["y_ticks"]]
    assert values == sorted(values)
    assert_labels_are_whole(plot)


def assert_labels_are_whole(plot: dict[str, Any]) -> None:
    """Labels lie within the picture and beside each other: 12 px are about 7 px a character."""
    sides = [(x - 3.5 * len(t), x + 3.5 * len(t)) for _, t, x in plot["x_ticks"] if t]
    assert sides
    assert sides[0][0] >= 0
    assert sides[-1][1] <= plot["width"]
    for (_, end), (start, _) in itertools.pairwise(sides):
        assert start > end


@pytest.mark.parametrize("low", [0.0, -3e7, 1e-12, 99_999.0, -1.0])
@pytest.mark.parametrize("span", [1e-12, 0.7, 65_535.0, 1.1e6, 3e9])
def test_labels_of_a_histogram_are_not_cut(low: float, span: float) -> None:
    if low + span > low:
        edges = [low, low + span / 2, low + span]
        histogram = Histogram(edges=edges, before=[1, 2], after=[2, 1])
        assert_labels_are_whole(FUNCTIONS["plot_of"](histogram))


@pytest.mark.parametrize(
    ("unit", "text"), [("adu", "adu²"), ("electron / s", "(electron / s)²"), ("m2", "(m2)²")]
)
def test_units_are_squared_as_a_whole(unit: str, text: str) -> None:
    assert FILTERS["squared"](unit) == text
