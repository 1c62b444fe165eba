"""Bits that a user calls good or bad: against astropy's own reading of the same flags."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.nddata.bitmask import bitfield_to_boolean_mask

from astroclean.core.flags.bitflags import bits_convention, interpret_bits
from astroclean.core.flags.planes import MaskPlane

QUALITY = np.array([[0, 1, 2, 3, 4096, 4097, 6, 1 << 20, 32768]])
FLAGS = ["1", "3", "4096", "1,4096", "1+4096", "~1", "~4096,1", "~(1,4096)", 4097, (1, 4096), -2]


@pytest.mark.parametrize("flags", FLAGS)
def test_good_bits_are_those_that_astropy_ignores(flags: str | int | tuple[int, ...]) -> None:
    taken = list(flags) if isinstance(flags, tuple) else flags
    expected = bitfield_to_boolean_mask(QUALITY, ignore_flags=taken)
    found = bits_convention(good_bits=flags).to_planes(QUALITY)
    np.testing.assert_array_equal(found, expected * np.uint32(MaskPlane.BAD_PIXEL))


@pytest.mark.parametrize("flags", FLAGS)
def test_bad_bits_are_the_rest(flags: str | int | tuple[int, ...]) -> None:
    bad = interpret_bits(flags)
    found = bits_convention(bad_bits=flags).to_planes(QUALITY)
    np.testing.assert_array_equal(found != 0, (QUALITY & bad) != 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64])
def test_bits_of_every_type_of_mask(dtype: type) -> None:
    top = 1 << (8 * np.dtype(dtype).itemsize - 1)
    raw = np.array([[0, 1, top, top | 1]], dtype=np.uint64).astype(dtype)
    table = bits_convention(bad_bits="1")
    assert (table.to_planes(raw) != 0).tolist() == [[False, True, False, True]]
    assert not table.unknown(raw)  # the user has said what every bit means
    if top < 1 << 62:
        assert bits_convention(bad_bits=top).to_planes(raw).any(axis=0).tolist() == [
            *(False, False),
            *(True, True),
        ]


@pytest.mark.parametrize("flags", ["1,x", "~", "", "None", "1,,2"])
def test_what_is_no_bit_flags_is_refused_with_an_example(flags: str) -> None:
    with pytest.raises(ValueError, match=r"1,4096|names no bits"):
        interpret_bits(flags)


def test_one_of_the_two_is_given() -> None:
    for options in ({}, {"bad_bits": "1", "good_bits": "2"}):
        with pytest.raises(ValueError, match="one of bad_bits and good_bits"):
            bits_convention(**options)
