"""The table as text and as JSON, and the figure as SVG."""

from __future__ import annotations

import json
import math
from xml.etree import ElementTree as ET

from astroclean.evaluation.figure import Axes, Curve, draw_figure
from astroclean.evaluation.table import Column, Row, Table

COLUMNS = (
    Column("MCC", "correlation"),
    Column("PSNR", "peak", "dB", ".1f"),
    Column("AUC", "area"),
)
ROWS = (
    Row("CR", {"MCC": 0.51239, "PSNR": math.inf}, "one"),
    Row("TRL", {"MCC": math.nan, "PSNR": 31.25}, "longer-name"),
)
TABLE = Table("mask", COLUMNS, ROWS, {"simulator": "contaminated", "seed": 3})
AXES = Axes("a < b", "false positive rate", "completeness")


def test_text_aligns_names_left_and_numbers_right() -> None:
    lines = TABLE.to_text().splitlines()
    assert lines[0] == "mask: simulator contaminated, seed 3"
    assert lines[2] == "plugin       class    MCC  PSNR [dB]"
    assert lines[4] == "one          CR     0.512        inf"
    assert lines[5] == "longer-name  TRL        -       31.2"
    assert "  MCC   correlation" in lines
    assert "AUC" not in TABLE.to_text()


def test_json_has_every_column_and_no_number_that_json_lacks() -> None:
    told = json.loads(TABLE.to_json())
    assert told["rows"][0] == {
        "plugin": "one",
        "class": "CR",
        "MCC": 0.51239,
        "PSNR": None,
        "AUC": None,
    }
    assert told["columns"][1] == {"name": "PSNR", "unit": "dB", "meaning": "peak"}
    assert told["about"] == {"simulator": "contaminated", "seed": 3}


def test_a_table_without_rows_says_so() -> None:
    assert "nothing to score" in Table("mask", COLUMNS, ()).to_text()


def test_figure_is_well_formed_and_draws_what_is_finite() -> None:
    curves = [
        Curve("one & <two>", (0.0, 1e-4, math.nan, 0.5, 1.0), (0.0, 0.6, 0.5, 0.9, 1.0)),
        Curve("mask alone", (2e-3,), (0.8,), joined=False),
        Curve("nothing", (), ()),
    ]
    text = draw_figure(curves, AXES)
    assert text == draw_figure(curves, AXES)
    root = ET.fromstring(text)  # noqa: S314 - our own text
    name = "{http://www.w3.org/2000/svg}"
    line = root.find(f"{name}polyline")
    assert line is not None
    assert len(line.attrib["points"].split()) == 4
    (circle,) = root.findall(f"{name}circle")
    # 2e-3 is 2.7 of five decades from the left.
    place = 62 + (618 - 62) * (math.log10(2e-3) + 5) / 5
    assert abs(float(circle.attrib["cx"]) - place) < 0.06
    assert "one &amp; &lt;two&gt;" in text


def test_long_curves_are_thinned() -> None:
    x = tuple(10 ** (-5 + 5 * i / 20000) for i in range(20001))
    text = draw_figure([Curve("long", x, x)], AXES)
    assert len(text) < 20000
