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


def test_a_wide_table_goes_on_below_without_rows_that_tell_nothing_new() -> None:
    columns = [Column(f"measure {index:02d}", "something") for index in range(20)]
    every = {column.name: 1.25 for column in columns}
    rows = (
        Row("all", every, "one"),
        Row("bright", {"measure 00": 7.0, "measure 19": 1.25}, "one"),
        Row("all", every, "two"),
        Row("faint", {"measure 19": 8.5}, "two"),
    )
    text = Table("remove", tuple(columns), rows).to_text()
    lines = text.splitlines()
    assert max(len(line) for line in lines) <= 160
    titles = [line for line in lines if line.startswith("plugin")]
    assert sum(line.count("measure") for line in titles) == 20
    last = lines[lines.index(titles[-1]) + 2 :][:3]
    assert [line.split()[:2] for line in last] == [["one", "all"], ["two", "all"], ["two", "faint"]]
    assert text.count("bright") == 1


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
