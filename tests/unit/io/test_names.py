"""Names of output files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astroclean.io.products.names import (
    FITS_SUFFIXES,
    clean_name,
    is_output_name,
    product_name,
    split_name,
)

STEMS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,20}", fullmatch=True)


@given(stem=STEMS, suffix=st.sampled_from(FITS_SUFFIXES), upper=st.booleans())
def test_a_clean_name_keeps_the_full_suffix(stem: str, suffix: str, upper: bool) -> None:
    suffix = suffix.upper() if upper else suffix
    path = Path("night") / f"{stem}{suffix}"
    assert split_name(path) == (stem, suffix)
    assert clean_name(path) == f"{stem}_clean{suffix}"
    assert product_name(path, "sources", ".ecsv") == f"{stem}_sources.ecsv"
    assert is_output_name(Path(clean_name(path)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("raw", "raw_clean.fits"), ("raw.dat", "raw.dat_clean.fits"), (".fits", ".fits_clean.fits")],
)
def test_a_name_without_a_fits_suffix_gets_one(name: str, expected: str) -> None:
    assert clean_name(Path(name)) == expected


@pytest.mark.parametrize("name", ["clean.fits", "raw.fits", "a_cleaned.fits", "_clean_.fits"])
def test_inputs_are_not_taken_for_outputs(name: str) -> None:
    assert not is_output_name(Path(name))
