"""Figures: axes keep the order of values, every mark lies in its panel, the SVG can be read."""

from __future__ import annotations

import math
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astroclean.evaluation.binning import class_quantiles, cumulative_share, log_means
from astroclean.evaluation.figure import (
    Axes,
    Axis,
    Boxes,
    Counts,
    Curve,
    Panel,
    draw_figure,
    merged_panels,
)
from astroclean.evaluation.figure_marks import Style

SVG = "{http://www.w3.org/2000/svg}"
FINITE = st.floats(-1e6, 1e6)
AXES = Axes("a < b", Axis("x", 1e-3, 1.0, "log"), Axis("y", 0.0, 1.0))


def drawn(*panels: Panel) -> ET.Element:
    return ET.fromstring(draw_figure(panels, "title & more"))  # noqa: S314 - our own


def line(x: Any, y: Any, label: str = "a") -> Curve:
    return Curve(tuple(x), tuple(y), label=label)


@pytest.mark.parametrize(
    "axis",
    [
        Axis("", -3.0, 7.0),
        Axis("", 1e-5, 1.0, "log"),
        Axis("", 1e-4, 1 - 1e-4, "logit"),
        Axis("", 1e-6, 1 - 1e-4, "logit"),
        Axis("", names=("few", "many", "all")),
    ],
)
@given(values=st.tuples(FINITE, FINITE))
def test_places_lie_on_the_axis_in_the_order_of_values(
    axis: Axis, values: tuple[float, float]
) -> None:
    low, high = sorted(values)
    fitted = axis.fitted(values)
    assert 0 <= fitted.place(low) <= fitted.place(high) <= 1
    places = [fitted.place(value) for value, _ in fitted.ticks()]
    assert places == sorted(set(places))
    assert 3 <= len(places) <= 11


@given(st.lists(FINITE, min_size=1, max_size=9))
def test_open_ends_hold_all_values(values: list[float]) -> None:
    axis = Axis("").fitted([*values, math.nan, math.inf])
    rounding = 1e-9 * (axis.high - axis.low)
    assert axis.low - rounding <= min(values) <= max(values) <= axis.high + rounding
    with pytest.raises(ValueError, match="open ends"):
        Axis("x").place(1.0)


def test_every_mark_lies_in_its_panel_and_is_named() -> None:
    quantiles = ((-5.0, 0.1, 0.2, 0.3, 9.0), None)
    classes = Axes("boxes", Axis("", names=("p", "q")), Axis("y", 0.0, 1.0))
    panels = merged_panels(
        [
            Panel(AXES, (line([1e-9, 0.1, 5.0], [0.5, math.nan, 2.0]),)),
            Panel(classes, (Boxes(quantiles, "a"),)),
            Panel(AXES, (Curve((0.1,), (-3.0,), joined=False, label="b"),)),
        ]
    )
    assert [len(p.marks) for p in panels] == [2, 1]
    root = drawn(*panels)
    assert root.find(f"{SVG}title").text == "title & more"
    told = root.find(f"{SVG}desc").text
    assert "a < b: y against x; a 0.5 to 2, b -3 to -3." in told
    assert [g.get("aria-label") for g in root.iter(f"{SVG}g") if g.get("aria-label")] == [
        "a < b",
        "boxes",
    ]
    (points,) = (e.get("points") for e in root.iter(f"{SVG}polyline"))
    assert points == "68.0,190.0 544.0,40.0"  # what lies beyond an axis lies at its end
    texts = [e.text for e in root.iter(f"{SVG}text")]
    assert texts[-2:] == ["a", "b"]
    assert {"p", "q", "0.001", "0.4"} <= set(texts)


def test_counts_are_an_outline_at_the_foot_of_the_panel() -> None:
    axes = Axes("c", Axis("x", 1e-6, 1 - 1e-4, "logit"), Axis("y", 1e-6, 1 - 1e-4, "logit"), True)
    counts = Counts((1e-6, 1e-3, 0.5, 0.9999), (1e8, 0.0, 1e4))
    root = drawn(Panel(axes, (counts, line([0.5], [0.5]))))
    (outline,) = (e.get("points") for e in root.iter(f"{SVG}polyline"))
    heights = [float(point.split(",")[1]) for point in outline.split()]
    assert heights == [265, 265, 340, 340, 302.5, 302.5]  # a quarter of the panel is 10^8
    assert "M68 340L544 40" in _paths(root)  # the diagonal
    assert "M68 340L544 40" not in _paths(drawn(Panel(AXES, (line([1], [1]),))))


def _paths(root: ET.Element) -> list[str | None]:
    return [e.get("d") for e in root.iter(f"{SVG}path")]


def test_many_panels_stand_in_three_columns() -> None:
    panel = Panel(AXES, (line([0.1], [0.5]),))
    widths = [drawn(*[panel] * count).get("viewBox").split()[2] for count in (1, 6, 7)]
    assert widths == ["560", "1120", "1680"]


def test_the_same_panels_give_the_same_text_and_plugins_look_different() -> None:
    curves = tuple(line([0.01, 0.1], [0.1, 0.9], label=f"p{n}") for n in range(35))
    assert draw_figure([Panel(AXES, curves)], "t") == draw_figure([Panel(AXES, curves)], "t")
    assert len({(Style.of(n).color, Style.of(n).dash) for n in range(35)}) == 35
    assert len({Style.of(n).symbol for n in range(5)}) == 5


def test_long_curves_are_thinned() -> None:
    x = np.geomspace(1e-3, 1, 20001)
    assert len(draw_figure([Panel(AXES, (line(x, x),))], "long")) < 20000


def test_labels_are_escaped() -> None:
    text = draw_figure([Panel(AXES, (line([1], [1], "one & <two>"),))], "")
    assert "one &amp; &lt;two&gt;" in text


def test_a_panel_without_values_tells_nothing() -> None:
    assert not Panel(AXES, (line([], []), Boxes((None,)))).is_told
    assert not Panel(AXES, (line([0.1], [math.nan]),)).is_told
    assert Panel(AXES, (Boxes((None, (0.0, 0.1, 0.2, 0.3, 0.4))),)).is_told


def test_quantiles_and_means_of_classes() -> None:
    values, by = np.arange(100.0), np.repeat([1.0, 20.0, 20.0, 300.0], 25)
    values[0] = np.nan
    first, second, third = class_quantiles(values, by, (0.0, 10.0, 100.0, 200.0))
    assert first == tuple(np.percentile(np.arange(1.0, 25.0), (5, 25, 50, 75, 95)))
    assert second[2] == np.median(np.arange(25.0, 75.0))
    assert third is None
    middles, means = log_means(values > 50, by, (1.0, 1000.0), bins=3)
    assert middles == pytest.approx((10**0.5, 10**1.5, 10**2.5))
    assert means == (0.0, 24 / 50, 1.0)


def test_the_cumulative_share_ends_at_one() -> None:
    sample = np.concatenate([np.random.default_rng(1).exponential(size=500), [np.nan]])
    x, share = cumulative_share(sample, (0.01, 100.0), points=9)
    assert share == tuple(np.mean(sample[:-1] <= limit) for limit in x)
    assert share[-1] == 1
    assert cumulative_share(np.array([np.nan]), (0.1, 1.0)) == ((), ())
