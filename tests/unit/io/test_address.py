"""Addresses of HDUs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astroclean.errors import HduNotFoundError
from astroclean.io.fits.address import Address, parse_address

NAMES = st.from_regex(r"[A-Z][A-Z0-9_-]{0,11}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.fits", Address(Path("a.fits"))),
        ("a.fits[2]", Address(Path("a.fits"), index=2)),
        ("a.fits[ 0 ]", Address(Path("a.fits"), index=0)),
        ("a.fits.gz[SCI]", Address(Path("a.fits.gz"), name="SCI")),
        ("a.fits[sci, 2]", Address(Path("a.fits"), name="SCI", version=2)),
        ("a.fits[SCI  ,1]", Address(Path("a.fits"), name="SCI", version=1)),
        ("dir[1]/a.fits", Address(Path("dir[1]/a.fits"))),
        ("a.fits[]", Address(Path("a.fits[]"))),
    ],
)
def test_addresses_of_cfitsio_are_understood(text: str, expected: Address) -> None:
    assert parse_address(text) == expected
    assert parse_address(text).is_whole_file == (expected.index is None and expected.name is None)


@pytest.mark.parametrize("text", ["a.fits[SCI,one]", "a.fits[SCI,]", "a.fits[SCI,-1]"])
def test_a_version_is_a_whole_number(text: str) -> None:
    with pytest.raises(HduNotFoundError, match="whole number") as caught:
        parse_address(text)
    assert "a.fits" in str(caught.value)


def test_an_existing_file_is_taken_by_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "odd[1]"
    path.touch()
    assert parse_address(path) == Address(path)
    assert parse_address(f"{path}[1]") == Address(path, index=1)


@given(name=NAMES, version=st.none() | st.integers(0, 999))
def test_an_address_reads_back_as_it_is_printed(name: str, version: int | None) -> None:
    address = Address(Path("night/a.fits.fz"), name=name, version=version)
    assert parse_address(str(address)) == address


@given(index=st.integers(0, 9999))
def test_an_index_reads_back_as_it_is_printed(index: int) -> None:
    address = Address(Path("a.fits"), index=index)
    assert parse_address(str(address)) == address
