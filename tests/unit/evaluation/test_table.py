"""The table as text and as JSON."""

from __future__ import annotations

import json
import math

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
