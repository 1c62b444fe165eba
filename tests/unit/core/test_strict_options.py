"""Values of options as written: text is no number and no truth, truth is no number."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from astroclean.core.stage.options import Options, StageOptions, problems_of


class Inner(Options):
    width: float = 1.0


class Rich(StageOptions):
    number: Annotated[float, Field(gt=0)] | None = None
    count: int = 1
    switch: bool = False
    choice: Literal["auto"] | float = "auto"
    turns: Literal[1, 8] = 1
    pair: tuple[float, ...] = ()
    table: dict[str, float] = Field(default_factory=dict)
    inner: Inner = Inner()
    several: tuple[Inner, ...] = ()
    path: Path | None = None
    bits: int | str | tuple[int, ...] = 0

    @model_validator(mode="after")
    def _fits(self) -> Self:  # pydantic wraps the schema of a model that has one
        return self


def problem(**given_: Any) -> tuple[tuple[int | str, ...], str]:
    with pytest.raises(ValidationError) as raised:
        Rich.model_validate(given_)
    (found,) = problems_of(raised.value, Rich, given_)
    return found.location, found.rule


truths = st.booleans() | st.booleans().map(np.bool_)
NUMBERS: dict[str, Any] = {
    "number": lambda value: value,
    "count": lambda value: value,
    "choice": lambda value: value,
    "pair": lambda value: [1, value],
    "table": lambda value: {"a": value},
    "inner": lambda value: {"width": value},
    "several": lambda value: [{"width": 1}, {"width": value}],
}


@given(st.sampled_from(sorted(NUMBERS)), truths | st.text().filter(lambda text: text != "auto"))
def test_neither_text_nor_truth_is_a_number(key: str, value: Any) -> None:
    location, rule = problem(**{key: NUMBERS[key](value)})
    assert location[0] == key
    assert "must be" in rule
    assert "number" in rule


@given(st.integers() | st.floats() | st.text() | st.none())
def test_a_switch_is_true_or_false(value: Any) -> None:
    assert problem(switch=value)[1].startswith("must be true or false")


def test_what_is_meant_is_said() -> None:
    assert problem(count="3")[1] == "must be a number, without quotation marks (got '3')"
    assert problem(count=3.5)[1] == "must be a whole number (got 3.5)"
    assert problem(switch="true")[1].startswith("must be true or false, without quotation marks")
    assert problem(choice="automatic")[1] == "must be 'auto' or a number (got 'automatic')"
    assert problem(turns=True)[1] == "must not be true or false (got true)"
    assert problem(number=float("nan"))[1] == "must be a finite number (got nan)"
    assert problem(pair=[float("inf")]) == (("pair", 0), "must be a finite number (got inf)")
    assert problem(inner={"widht": 1})[0] == ("inner", "widht")
    assert problem(several=[{}, {"width": "1"}])[0] == ("several", 1, "width")


def test_what_is_right_is_taken() -> None:
    taken = Rich(
        number=np.float32(2),
        count=np.int64(3),
        switch=np.bool_(True),
        choice=3,
        turns=8,
        pair=[1, np.float64(2)],
        table={"a": 1},
        path="a.fits",
        bits=4096,
    )
    assert (taken.number, taken.count, taken.switch, taken.choice) == (2.0, 3, True, 3.0)
    assert (taken.turns, taken.pair, taken.path, taken.bits) == (
        8,
        (1.0, 2.0),
        Path("a.fits"),
        4096,
    )
    assert type(taken.number) is float
    assert Rich.model_json_schema()["properties"]["switch"]["type"] == "boolean"
