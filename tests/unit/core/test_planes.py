"""The table of mask planes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from astroclean.core.flags.planes import (
    REJECTING,
    MaskPlane,
    count_planes,
    parse_planes,
    plane_cards,
    plane_table,
)
from astroclean.errors import PlaneError

PLANES = list(MaskPlane)
SETS = st.sets(st.sampled_from(PLANES))


def test_bits_names_and_aliases_are_unique() -> None:
    assert len({p.bit for p in PLANES}) == len(PLANES) == 29
    spoken = [str(p.name) for p in PLANES] + [p.alias for p in PLANES]
    assert len(set(spoken)) == len(spoken)


def test_bits_are_those_of_the_contract() -> None:
    assert [p.bit for p in PLANES] == [*range(25), 28, 29, 30, 31]
    assert [p.alias for p in PLANES[:13]] == [
        *("CR", "HCL", "DCL", "HP", "DP", "P", "TRL", "FR", "NEB", "SAT", "SP", "OV", "BBG")
    ]
    accepted = {p.alias for p in PLANES if not p.rejects}
    assert accepted == {
        *("FR", "NEB", "BBG", "SUS", "ED", "SRC", "INT", "INP", "REM", "CLP", "OOD"),
        *("U0", "U1", "U2", "U3"),
    }
    assert all(bool(p & REJECTING) == p.rejects for p in PLANES)


@given(planes=SETS, separator=st.sampled_from([",", "|", "+", " , "]), lower=st.booleans())
def test_names_and_aliases_are_parsed_in_any_case(
    planes: set[MaskPlane], separator: str, lower: bool
) -> None:
    words = [p.alias if p.bit % 2 else str(p.name) for p in planes]
    text = separator.join(words)
    union = MaskPlane.union(planes)
    assert parse_planes(text.lower() if lower else text) == union
    assert parse_planes(words) == union
    assert parse_planes(int(union)) == union
    assert parse_planes(union) == union


@pytest.mark.parametrize("value", [-1, 1 << 25, 1 << 27, 1 << 32, (1 << 26) | 1])
def test_values_outside_the_table_are_refused(value: int) -> None:
    with pytest.raises(PlaneError, match=str(value)):
        parse_planes(value)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(PlaneError, match=r"COSMIC_RYA.*COSMIC_RAY"):
        parse_planes("COSMIC_RYA")
    with pytest.raises(PlaneError, match="NOPE"):
        parse_planes("CR,NOPE")


@given(sets=st.lists(SETS, min_size=1, max_size=12))
def test_counts_are_those_of_the_pixels(sets: list[set[MaskPlane]]) -> None:
    flags = np.array([[int(MaskPlane.union(s)) for s in sets]], dtype=np.uint32)
    counted = count_planes(flags)
    for plane in PLANES:
        expected = sum(plane in s for s in sets)
        assert counted.get(str(plane.name), 0) == expected
    assert 0 not in counted.values()


def test_no_pixels_have_no_planes() -> None:
    assert count_planes(np.zeros((0, 3), dtype=np.uint32)) == {}


def test_cards_tell_every_plane() -> None:
    header = fits.Header.fromstring(plane_cards().tostring())
    for plane in PLANES:
        assert header[f"MP_{plane.alias}"] == plane.bit
        number = f"{plane.bit:04d}"
        assert header[f"MSKN{number}"] == plane.name
        assert header[f"MSKM{number}"] == int(plane)
        assert header[f"MSKD{number}"] == plane.meaning
    assert all(re.fullmatch(r"[A-Z0-9_-]{1,8}", key) for key in header)


def test_the_table_holds_a_row_for_each_plane() -> None:
    table = plane_table()
    assert list(table["value"]) == [int(p) for p in PLANES]
    assert list(table["alias"]) == [p.alias for p in PLANES]
    assert parse_planes([str(n) for n in table["name"][table["rejects"]]]) == REJECTING


@pytest.mark.parametrize("plane", MaskPlane)
def test_all_other_planes_are_the_inverse(plane: MaskPlane) -> None:
    others = ~plane
    assert not others & plane
    assert others | plane == MaskPlane.union(MaskPlane)
    assert ~(plane | MaskPlane.USER_3) == others & ~MaskPlane.USER_3
