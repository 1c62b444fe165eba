"""Validation errors become lines with key, rule, what was received and the nearest spelling."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from astroclean.config.explain import explain
from astroclean.config.schema import PipelineConfig

STAGE = {"plugin": "a"}


def lines(**tables: Any) -> list[str]:
    given = {"schema": 1, "stage": [STAGE], **tables}
    with pytest.raises(ValidationError) as raised:
        PipelineConfig.model_validate(given)
    return explain(raised.value, PipelineConfig, given)


@pytest.mark.parametrize(
    ("tables", "line"),
    [
        ({"shcema": 1}, "shcema: no such key. Did you mean 'schema'?"),
        ({"run": {"onreject": "flag"}}, "run.onreject: no such key. Did you mean 'on_reject'?"),
        ({"psf": {"fwmh": "1 pixel"}}, "psf.fwmh: no such key. Did you mean 'fwhm'?"),
        (
            {"input": {"simulate": {"kind": "exposure", "sead": 1}}},
            "input.simulate.sead: no such key. Did you mean 'seed'?",
        ),
        ({"stage": [{"name": "x"}]}, "stage[0].plugin: required but missing"),
        (
            {"instrument": {"gain": -1}},
            "instrument.gain: must be greater than 0 (got -1)",
        ),
        (
            {"psf": {"estimate": True, "fwhm": "1 pixel"}},
            "psf: give exactly one of `file`, `fwhm`, `estimate`, `instrument`",
        ),
        ({"stage": []}, None),
    ],
)
def test_one_line(tables: dict[str, Any], line: str | None) -> None:
    told = lines(**tables)
    assert len(told) == 1
    if line is None:
        assert told[0].startswith("stage: ")
    else:
        assert told[0] == line


def test_wrong_items_are_told_and_not_the_list() -> None:
    told = lines(stage=[{"plugin": 3}])
    assert [line.split(":")[0] for line in told] == ["stage[0].plugin"]


def test_far_spelling_lists_what_there_is() -> None:
    (told,) = lines(run={"zzz": 1})
    assert "Known: keep_stages, max_memory, on_reject, on_suspect, reject_bits, scheduler." in told


def test_each_problem_has_its_line() -> None:
    told = lines(run={"a": 1, "on_reject": "x"}, products={"keep": ["flags", 3]}, psf={})
    assert [line.split(":")[0] for line in told] == [
        *("run.on_reject", "run.a", "psf", "products.keep[1]")
    ]
