"""Files of one field in several bands are processed together; every file is in one unit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astroclean.errors import ConfigurationError
from astroclean.runner.plan.plan import FilePlan
from astroclean.runner.plan.units import lost_fields, make_units

BANDS = {"g": "*_g.fits", "r": "r_*.fits"}


def plan(name: str, key: str = "", prefixes: tuple[str, ...] = ()) -> FilePlan:
    nothing: Any = None
    return FilePlan(
        input=f"/raw/{name}",
        stem=name,
        pipeline=nothing,
        settings=nothing,
        instrument="",
        specs=(),
        frames=2,
        key=key or name,
        prefix_keys=prefixes,
    )


def names(units: Any) -> list[list[str]]:
    return [[member.path.name for member in unit.plans] for unit in units]


def test_no_bands() -> None:
    units = make_units([plan("b.fits"), plan("a.fits")], {})
    assert names(units) == [["b.fits"], ["a.fits"]]
    assert [unit.fields for unit in units] == [2, 2]


def test_bands_by_hdu() -> None:
    (unit,) = make_units([plan("a.fits")], {"g": "[1]", "r": "[2]"})
    assert unit.fields == 1
    assert unit.hdu_bands == {"g": "[1]", "r": "[2]"}


@given(fields=st.lists(st.sampled_from("abcdef"), unique=True, min_size=1), data=st.data())
def test_every_file_is_in_one_unit_with_its_field(fields: list[str], data: Any) -> None:
    files = [name for f in fields for name in (f"{f}_g.fits", f"r_{f}.fits")]
    order = data.draw(st.permutations(files))
    units = make_units([plan(name) for name in order], BANDS)
    assert sorted(names(units)) == sorted([f"{f}_g.fits", f"r_{f}.fits"] for f in fields)
    assert all(unit.bands == ("g", "r") for unit in units)
    first = [order.index(pair[0]) for pair in names(units)]
    other = [order.index(pair[1]) for pair in names(units)]
    met = [min(pair) for pair in zip(first, other, strict=True)]
    assert met == sorted(met)


def test_all_problems_are_told() -> None:
    with pytest.raises(ConfigurationError) as raised:
        make_units([plan(n) for n in ("a_g.fits", "x.fits", "r_b.fits")], BANDS)
    told = raised.value.problems
    assert len(told) == 3
    assert "x.fits" in told[0]
    assert ("'a'" in told[1], "lacks r" in told[1]) == (True, True)
    assert ("'b'" in told[2], "lacks g" in told[2]) == (True, True)


def test_two_files_for_one_band() -> None:
    bands = {"g": "*_g*.fits", "r": "*_r.fits"}
    with pytest.raises(ConfigurationError, match=r"a_g1\.fits and a_g2\.fits"):
        make_units([plan(n) for n in ("a_g1.fits", "a_g2.fits", "a_r.fits")], bands)


def test_mixed_patterns() -> None:
    with pytest.raises(ConfigurationError, match="HDUs for all"):
        make_units([plan("a_g.fits")], {"g": "*_g.fits", "r": "[2]"})


def test_characters_of_patterns_are_meant_as_they_stand() -> None:
    bands = {"g": "+x.*.g.fits", "r": "+x.*.r.fits"}
    units = make_units([plan("+x.1.g.fits"), plan("+x.1.r.fits")], bands)
    assert names(units) == [["+x.1.g.fits", "+x.1.r.fits"]]
    with pytest.raises(ConfigurationError, match="fits none"):
        make_units([plan("xxa1.g.fits")], bands)


def test_keys_depend_on_every_file() -> None:
    pair = [plan("a_g.fits", "1", ("p", "q")), plan("r_a.fits", "2", ("p", "s"))]
    other = [pair[0], plan("r_a.fits", "3", ("p", "t"))]
    (one,), (two,) = make_units(pair, BANDS), make_units(other, BANDS)
    assert one.key != two.key
    assert one.prefix_keys[0] == two.prefix_keys[0]
    assert one.prefix_keys[1] != two.prefix_keys[1]


def test_field_of_a_failed_file_is_lost() -> None:
    plans = [plan(n) for n in ("a_g.fits", "b_g.fits", "r_b.fits")]
    lost = lost_fields(plans, BANDS, ["/raw/r_a.fits", "/raw/unrelated.txt"])
    assert list(lost) == ["/raw/a_g.fits"]
    assert "r_a.fits" in lost["/raw/a_g.fits"]
    assert lost_fields(plans, {}, ["/raw/r_a.fits"]) == {}
    assert lost_fields(plans, {"g": "[1]"}, ["/raw/r_a.fits"]) == {}
